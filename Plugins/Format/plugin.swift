import PackagePlugin

/// `swift package format`: formats every Swift file in place.
@main struct Format: CommandPlugin {
  func performCommand(context: PluginContext, arguments: [String]) throws {
    try runTool(
      context,
      [
        "swift", "format", "--in-place", "--parallel", "--recursive", "Package.swift", "Sources", "Tests",
        "Plugins",
      ])
  }
}
