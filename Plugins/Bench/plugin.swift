import PackagePlugin

/// `swift package bench`: measures, see tools/bench/run.
@main struct Bench: CommandPlugin {
  func performCommand(context: PluginContext, arguments: [String]) throws {
    try runTool(context, ["tools/bench/run"] + arguments)
  }
}
