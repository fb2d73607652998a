/// The contents page: every command, what it takes, what it reads and who carries it out.
extension Command {
  static let all: [Command] =
    general + bridges + ports + interfaces + rows + watching + management + datapaths + flows + runtime
    + files

  private static let mayExist = OptionSyntax("may-exist", "no error when it is there already")
  private static let ifExists = OptionSyntax("if-exists", "no error when it is not there")
  private static let id = OptionSyntax(
    "id", "@NAME", "a name for the row, for later commands of this transaction")
  private static let columns = OptionSyntax("columns", "COLUMN[,COLUMN]...", "only these columns")
  private static let probe = OptionSyntax("inactivity-probe", "MSECS", "probe an idle connection so often")
  private static let any = Int.max

  private static let general: [Command] = [
    Command("init", "", 0...0, [], .general, .writes, Selection.addNothing) { _, _ throws(CommandError) in },
    Command("show", "", 0...0, [], .general, .reads, ShowCommand.prerequisites, ShowCommand.run),
    Command(
      "emer-reset", "", 0...0, [], .general, .writes, EmergencyReset.prerequisites, EmergencyReset.run),
    Command(
      name: "help", usage: "[COMMAND]", arguments: 0...1, options: [], group: .general, execution: .local),
  ]

  private static let bridges: [Command] = [
    Command(
      "add-br", "BRIDGE [PARENT VLAN]", 1...3, [mayExist], .bridge, .writes, Selection.addSwitch,
      BridgeCommands.add),
    Command(
      "del-br", "BRIDGE", 1...1, [ifExists], .bridge, .writes, Selection.addSwitch, BridgeCommands.delete),
    Command(
      "list-br", "", 0...0,
      [
        OptionSyntax("real", "only bridges of their own"),
        OptionSyntax("fake", "only VLAN bridges of a parent"),
      ],
      .bridge, .reads, Selection.addSwitch, BridgeCommands.list),
    Command("br-exists", "BRIDGE", 1...1, [], .bridge, .reads, Selection.addSwitch, BridgeCommands.exists),
    Command(
      "br-to-vlan", "BRIDGE", 1...1, [], .bridge, .reads, Selection.addSwitch, BridgeCommands.printVLAN),
    Command(
      "br-to-parent", "BRIDGE", 1...1, [], .bridge, .reads, Selection.addSwitch, BridgeCommands.printParent),
    Command(
      "br-set-external-id", "BRIDGE KEY [VALUE]", 2...3, [], .bridge, .writes, Selection.addExternalIDs,
      BridgeCommands.setExternalID),
    Command(
      "br-get-external-id", "BRIDGE [KEY]", 1...2, [], .bridge, .reads, Selection.addExternalIDs,
      BridgeCommands.printExternalID),
    Command(
      "get-fail-mode", "BRIDGE", 1...1, [], .bridge, .reads, Selection.addSwitch, BridgeCommands.printFailMode
    ),
    Command(
      "set-fail-mode", "BRIDGE MODE", 2...2, [], .bridge, .writes, Selection.addSwitch,
      BridgeCommands.setFailMode
    ),
    Command(
      "del-fail-mode", "BRIDGE", 1...1, [], .bridge, .writes, Selection.addSwitch,
      BridgeCommands.clearFailMode),
  ]

  private static let ports: [Command] = [
    Command("list-ports", "BRIDGE", 1...1, [], .port, .reads, Selection.addSwitch, PortCommands.list),
    Command(
      "add-port", "BRIDGE PORT [COLUMN[:KEY]=VALUE]...", 2...any, [mayExist], .port, .writes,
      Selection.addSwitch, PortCommands.add),
    Command(
      "del-port", "[BRIDGE] PORT", 1...2,
      [ifExists, OptionSyntax("with-iface", "PORT may also be the name of one of the port's interfaces")],
      .port,
      .writes, Selection.addSwitch, PortCommands.delete),
    Command("port-to-br", "PORT", 1...1, [], .port, .reads, Selection.addSwitch, PortCommands.printBridge),
    Command(
      "add-bond", "BRIDGE PORT INTERFACE... [COLUMN[:KEY]=VALUE]...", 4...any,
      [mayExist, OptionSyntax("fake-iface", "create a fake interface named PORT")], .port, .writes,
      Selection.addSwitch, PortCommands.addBond),
    Command(
      "add-bond-iface", "BOND INTERFACE", 2...2, [mayExist], .port, .writes, Selection.addSwitch,
      PortCommands.addBondInterface),
    Command(
      "del-bond-iface", "[BOND] INTERFACE", 1...2, [ifExists], .port, .writes, Selection.addSwitch,
      PortCommands.deleteBondInterface),
  ]

  private static let interfaces: [Command] = [
    Command(
      "list-ifaces", "BRIDGE", 1...1, [], .interface, .reads, Selection.addSwitch, PortCommands.listInterfaces
    ),
    Command(
      "iface-to-br", "INTERFACE", 1...1, [], .interface, .reads, Selection.addSwitch,
      PortCommands.printInterfaceBridge),
  ]

  private static let rows: [Command] = [
    Command("comment", "[WORD]...", 0...any, [], .database, .reads, Selection.addNothing) {
      _, _ throws(CommandError) in
    },
    Command(
      "get", "TABLE RECORD [COLUMN[:KEY]]...", 2...any, [ifExists, id], .database, .reads,
      Selection.addColumns(from: 2), RowCommands.get),
    Command(
      "list", "TABLE [RECORD]...", 1...any, [ifExists, columns], .database, .reads,
      Selection.addListedColumns,
      RowCommands.list),
    Command(
      "find", "TABLE [COLUMN[:KEY]OPERATOR VALUE]...", 1...any, [columns], .database, .reads,
      Selection.addFoundColumns, RowCommands.find),
    Command(
      "set", "TABLE RECORD COLUMN[:KEY]=VALUE...", 3...any, [ifExists], .database, .writes,
      Selection.addColumns(from: 2), RowCommands.set),
    Command(
      "add", "TABLE RECORD COLUMN [KEY=]VALUE...", 4...any, [ifExists], .database, .writes,
      Selection.addColumn(at: 2), RowCommands.add),
    Command(
      "remove", "TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...", 4...any, [ifExists], .database, .writes,
      Selection.addColumn(at: 2), RowCommands.remove),
    Command(
      "clear", "TABLE RECORD COLUMN...", 3...any, [ifExists], .database, .writes,
      Selection.addColumns(from: 2),
      RowCommands.clear),
    Command(
      "create", "TABLE COLUMN[:KEY]=VALUE...", 2...any, [id], .database, .writes, Selection.addTable,
      RowCommands.create),
    Command(
      "destroy", "TABLE [RECORD]...", 1...any, [ifExists, OptionSyntax("all", "every record of the table")],
      .database, .writes, Selection.addTable, RowCommands.destroy),
    Command(
      "wait-until", "TABLE RECORD [COLUMN[:KEY]OPERATOR VALUE]...", 2...any, [], .database, .reads,
      Selection.addColumns(from: 2), RowCommands.waitUntil),
  ]

  private static let watching: [Command] = [
    Command(
      name: "watch", usage: "TABLE [COLUMN]... [CONDITION]...", arguments: 1...any,
      options: [
        OptionSyntax("no-initial", "only changes, not what is there at first"),
        OptionSyntax("count", "LINES", "end after so many lines"),
      ], group: .database, execution: .alone(WatchCommand.run))
  ]

  private static let management: [Command] = [
    Command(
      "get-controller", "BRIDGE", 1...1, [], .management, .reads, Selection.addControllers,
      ConnectionCommands.printControllers),
    Command(
      "set-controller", "BRIDGE TARGET...", 2...any, [probe], .management, .writes, Selection.addControllers,
      ConnectionCommands.setControllers),
    Command(
      "del-controller", "BRIDGE", 1...1, [], .management, .writes, Selection.addControllers,
      ConnectionCommands.clearControllers),
    Command(
      "get-manager", "", 0...0, [], .management, .reads, Selection.addManagers,
      ConnectionCommands.printManagers),
    Command(
      "set-manager", "TARGET...", 1...any, [probe], .management, .writes, Selection.addManagers,
      ConnectionCommands.setManagers),
    Command(
      "del-manager", "", 0...0, [], .management, .writes, Selection.addManagers,
      ConnectionCommands.clearManagers),
    Command("get-ssl", "", 0...0, [], .management, .reads, Selection.addTLS, ConnectionCommands.printTLS),
    Command(
      "set-ssl", "PRIVATE-KEY CERTIFICATE CA-CERT", 3...3,
      [OptionSyntax("bootstrap", "take the CA certificate from the first connection")], .management, .writes,
      Selection.addTLS, ConnectionCommands.setTLS),
    Command("del-ssl", "", 0...0, [], .management, .writes, Selection.addTLS, ConnectionCommands.clearTLS),
  ]

  private static let datapaths: [Command] = [
    Command(
      "add-zone-tp", "DATAPATH zone=ZONE TIMEOUT=SECONDS...", 3...any, [mayExist], .datapath, .writes,
      Selection.addDatapaths, DatapathCommands.addZonePolicy),
    Command(
      "del-zone-tp", "DATAPATH zone=ZONE", 2...2, [ifExists], .datapath, .writes, Selection.addDatapaths,
      DatapathCommands.deleteZonePolicy),
    Command(
      "list-zone-tp", "DATAPATH", 1...1, [], .datapath, .reads, Selection.addDatapaths,
      DatapathCommands.listZonePolicies),
    Command(
      "list-dp-cap", "DATAPATH", 1...1, [], .datapath, .reads, Selection.addDatapaths,
      DatapathCommands.printCapabilities),
    Command(
      "add-aa-mapping", "BRIDGE I-SID VLAN", 3...3, [], .datapath, .writes, Selection.addAutoAttach,
      AutoAttachCommands.add),
    Command(
      "del-aa-mapping", "BRIDGE I-SID VLAN", 3...3, [], .datapath, .writes, Selection.addAutoAttach,
      AutoAttachCommands.delete),
    Command(
      "get-aa-mapping", "BRIDGE", 1...1, [], .datapath, .reads, Selection.addAutoAttach,
      AutoAttachCommands.print),
  ]

  private static let strict = OptionSyntax(
    "strict", "the flow with exactly this match and priority, not all that the match covers")
  private static let bundle = OptionSyntax("bundle", "all changes happen, at one moment, or none")
  private static let portNames = [
    OptionSyntax("names", "show ports by name (default: on a terminal)"),
    OptionSyntax("no-names", "show ports by number"),
  ]
  private static let dumpOptions =
    [OptionSyntax("no-stats", "without counters and ages")] + portNames + [
      OptionSyntax("sort", "FIELD[,FIELD]...", optional: true, "ascending by priority, or by these fields"),
      OptionSyntax("rsort", "FIELD[,FIELD]...", optional: true, "the same, descending"),
    ]
  private static let mayCreate = OptionSyntax("may-create", "add the group if it is not there")

  private static let flows: [Command] = [
    Command("add-flow", "BRIDGE FLOW|-", 2...2, [bundle], FlowCommands.add),
    Command("add-flows", "BRIDGE FILE", 2...2, [bundle], FlowCommands.addFile),
    Command("mod-flows", "BRIDGE FLOW|-", 2...2, [strict, bundle], FlowCommands.modify),
    Command("del-flows", "BRIDGE [FLOW|-]", 1...2, [strict, bundle], FlowCommands.delete),
    Command(
      "replace-flows", "BRIDGE FILE", 2...2,
      [bundle, OptionSyntax("readd", "add all flows of the file, not only those that differ")],
      FlowCommands.replace),
    Command("diff-flows", "BRIDGE|FILE BRIDGE|FILE", 2...2, [], FlowCommands.compare),
    Command("dump-flows", "BRIDGE [FLOW]", 1...2, dumpOptions, FlowCommands.dump),
    Command("dump-aggregate", "BRIDGE [FLOW]", 1...2, calls: "flow/aggregate", group: .flow),
    Command("dump-tables", "BRIDGE", 1...1, calls: "flow/tables", group: .flow),
    Command("parse-flows", "FILE", 1...1, [], FlowCommands.parse),
    Command("add-group", "BRIDGE GROUP|-", 2...2, [mayCreate], GroupCommands.add),
    Command("add-groups", "BRIDGE FILE", 2...2, [], GroupCommands.addFile),
    Command("mod-group", "BRIDGE GROUP", 2...2, [mayCreate], GroupCommands.modify),
    Command("del-groups", "BRIDGE [GROUP]", 1...2, [], GroupCommands.delete),
    Command("insert-buckets", "BRIDGE GROUP", 2...2, [], GroupCommands.insertBuckets),
    Command("remove-buckets", "BRIDGE GROUP", 2...2, [], GroupCommands.removeBuckets),
    Command("dump-groups", "BRIDGE [GROUP]", 1...2, portNames, GroupCommands.dump),
    Command("dump-group-stats", "BRIDGE [GROUP]", 1...2, calls: "group/stats", group: .flow),
    Command("add-meter", "BRIDGE METER", 2...2, [], GroupCommands.addMeter),
    Command("mod-meter", "BRIDGE METER", 2...2, [], GroupCommands.modifyMeter),
    Command("del-meter", "BRIDGE METER", 2...2, [], GroupCommands.deleteMeters),
    Command("del-meters", "BRIDGE [METER]", 1...2, [], GroupCommands.deleteMeters),
    Command("dump-meter", "BRIDGE METER", 2...2, calls: "meter/dump", group: .flow),
    Command("dump-meters", "BRIDGE [METER]", 1...2, calls: "meter/dump", group: .flow),
    Command("meter-stats", "BRIDGE [METER]", 1...2, calls: "meter/stats", group: .flow),
    Command(
      "trace", "BRIDGE [FLOW]", 1...2,
      [
        OptionSyntax("pcap", "FILE", "a frame of this capture instead of a flow"),
        OptionSyntax("frame", "NUMBER", "which frame of the capture (default: 1, the first)"),
        OptionSyntax("in-port", "PORT", "the port the captured frame comes from"),
      ] + portNames, TraceCommand.run),
  ]

  private static let runtime: [Command] = [
    Command("fdb", "[BRIDGE]", 0...1, calls: "fdb/show"),
    Command("fdb-flush", "[BRIDGE]", 0...1, calls: "fdb/flush"),
    Command("ports", "[BRIDGE]", 0...1, calls: "ports/show"),
    Command(
      "stats", "[PORT]", 0...1, [OptionSyntax("queues", "the counters of each queue")], group: .runtime,
      StatsCommand.run),
    Command("pmd-stats", "[SECONDS]", 0...1, calls: "pmd-stats"),
    Command("pmd-rxq-show", "[SECONDS]", 0...1, calls: "pmd-rxq-show"),
    Command("flow-cache", "", 0...0, calls: "flow-cache"),
    Command("pmd-rebalance", "", 0...0, calls: "pmd-rebalance"),
    Command(
      name: "appctl", usage: "COMMAND [ARGUMENT]...", arguments: 1...any, options: [], group: .runtime,
      execution: .anyControl),
  ]
}

extension Command {
  /// A command of a database transaction.
  fileprivate init(
    _ name: String, _ usage: String, _ arguments: ClosedRange<Int>, _ options: [OptionSyntax] = [],
    _ group: Group,
    _ access: Access, _ prerequisites: @escaping Prerequisites, _ run: @escaping Run
  ) {
    self.init(
      name: name, usage: usage, arguments: arguments, options: options, group: group,
      execution: .transaction(access, prerequisites, run))
  }

  /// A command to the running switch that has options, takes more than one request, or has something to do itself.
  fileprivate init(
    _ name: String, _ usage: String, _ arguments: ClosedRange<Int>, _ options: [OptionSyntax],
    group: Group = .flow, _ conversation: @escaping Conversation
  ) {
    self.init(
      name: name, usage: usage, arguments: arguments, options: options, group: group,
      execution: .conversation(conversation))
  }

  /// A command to the running switch.
  fileprivate init(
    _ name: String, _ usage: String, _ arguments: ClosedRange<Int>, calls method: String,
    group: Group = .runtime
  ) {
    self.init(
      name: name, usage: usage, arguments: arguments, options: [], group: group,
      execution: .control(method: method))
  }
}
