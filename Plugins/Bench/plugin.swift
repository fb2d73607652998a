import PackagePlugin

/// `swift package bench`: measures, `swift package bench datapath`
/// and whatever else tools/bench understands.
@main struct Bench: CommandPlugin {
  func performCommand(context: PluginContext, arguments: [String]) throws {
    try runTool(context, ["tools/bench"] + arguments)
  }
}
