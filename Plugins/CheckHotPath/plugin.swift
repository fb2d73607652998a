import PackagePlugin

/// `swift package check-hot-path`: looks at the release build's packet path, see tools/check-hot-path.
@main struct CheckHotPath: CommandPlugin {
  func performCommand(context: PluginContext, arguments: [String]) throws {
    try runTool(context, ["tools/check-hot-path"] + arguments)
  }
}
