import OVSDB

/// `emer-reset`: back to a switch without controllers, sampling and mirrors; bridges and ports stay.
enum EmergencyReset {
  /// The columns that are cleared, by table.
  private static let cleared: [(table: String, columns: [String])] = [
    ("Open_vSwitch", ["manager_options", "ssl"]),
    ("Bridge", ["controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans"]),
    ("Port", ["other_config"]),
    ("Interface", ["ingress_policing_rate", "ingress_policing_burst"]),
  ]

  /// The tables that lose all rows.
  private static let emptied = [
    "Mirror", "Controller", "Manager", "NetFlow", "SSL", "sFlow", "IPFIX", "Flow_Sample_Collector_Set",
  ]

  @Sendable static func prerequisites(
    _ selection: inout Selection, _: Invocation.Request, _ schema: DatabaseSchema
  ) {
    for (table, columns) in cleared { selection.add(table, columns, schema) }
    selection.add("Bridge", ["other_config"], schema)
    for table in emptied { selection.add(table, [], schema) }
  }

  @Sendable static func run(_ context: CommandContext, _: Invocation.Request) throws(CommandError) {
    let copy = context.copy
    for (table, columns) in cleared {
      for row in copy.rows(table) {
        for column in columns {
          guard let schema = context.schema[table: table]?[column: column] else { continue }
          copy.write(row, column, schema.type.defaultDatum)
        }
      }
    }
    for row in copy.rows("Bridge") {
      // The MAC address is the bridge's identity, not a controller's setting.
      copy.write(
        row, "other_config", Datum(copy[row, "other_config"].stringMap.filter { $0.key == "hwaddr" }))
    }
    for table in emptied {
      for row in copy.rows(table) { copy.delete(row) }
    }
    context.invalidateView()
  }
}
