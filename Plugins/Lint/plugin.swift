import PackagePlugin

/// `swift package lint`: checks format, unsafe constructs and scripts.
@main struct Lint: CommandPlugin {
  func performCommand(context: PluginContext, arguments: [String]) throws {
    try runTool(context, ["tools/test", "format", "unsafe", "scripts"])
  }
}
