import PackagePlugin

/// Before the target is compiled: writes its typed rows from etc/vswitch.ovsschema, when that or the generator changed.
@main struct SchemaRows: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
    let schema = context.package.directoryURL.appending(path: "etc/vswitch.ovsschema")
    let rows = context.pluginWorkDirectoryURL.appending(path: "Rows.swift")
    return [
      .buildCommand(
        displayName: "Writing the rows of vswitch.ovsschema",
        executable: try context.tool(named: "schema-rows").url,
        arguments: [schema.path(), rows.path()], inputFiles: [schema], outputFiles: [rows])
    ]
  }
}
