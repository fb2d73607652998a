import PackagePlugin

/// `swift package fuzz`: runs one fuzz target, see tools/fuzz/run.
@main struct Fuzz: CommandPlugin {
  func performCommand(context: PluginContext, arguments: [String]) throws {
    try runTool(context, ["tools/fuzz/run"] + arguments)
  }
}
