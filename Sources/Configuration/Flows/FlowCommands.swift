import Datapath
import Flow
import JSONRPC

// Flows, as the control socket changes and shows them.
extension RuntimeCommands {
  var flowCommands: [ControlCommand] {
    [
      ControlCommand(
        "flow/mod", usage: "BRIDGE [--bundle] [--line=N] LINE...", arguments: 1...Int.max, modifyFlows),
      ControlCommand(
        deferred: "flow/dump",
        usage:
          "BRIDGE [FLOW] [--no-stats] [--names|--no-names] [--sort=FIELDS] [--rsort=FIELDS] [--format=table|json]",
        arguments: 1...8, dumpFlows),
      ControlCommand(
        "flow/aggregate", usage: "BRIDGE [FLOW] [--format=table|json]", arguments: 1...3, aggregateFlows),
      ControlCommand("flow/tables", usage: "BRIDGE [--format=table|json]", arguments: 1...2, showTables),
    ]
      // Under Open vSwitch's name too: scripts have it.
      + ["flow/trace", "ofproto/trace"].map { name in
        ControlCommand(
          name,
          usage: "BRIDGE {FLOW | --frame=HEX [in_port=PORT]} [--names|--no-names] [--format=table|json]",
          arguments: 2...5
        ) { arguments throws(ControlError) in try trace(name, arguments) }
      }
  }

  // MARK: Changes

  /// Each line as one of an `add-flows` file. Nothing is done when one cannot be read.
  private func modifyFlows(_ arguments: [String]) throws(ControlError) -> String {
    let arguments = try ControlArguments(
      "flow/mod", arguments, options: ["bundle", "line"], words: 1...Int.max, leading: 1)
    let pipeline = try flows(of: arguments.bridge)
    let lines = ControlLines(arguments)
    let parser = FlowParser(ports: portNames(of: arguments.bridge))
    var modifications: [FlowModification] = []
    var origins: [Int] = []
    modifications.reserveCapacity(lines.count)
    for index in 0..<lines.count {
      do throws(FlowError) {
        guard let modification = try parser.modification(line: lines[index]) else { continue }
        modifications.append(modification)
        origins.append(index)
      } catch { throw lines.error(error, at: index) }
    }
    do throws(FlowError) {
      try pipeline.apply(modifications, atomically: arguments.has("bundle"))
    } catch { throw lines.error(error, at: origins[error.index ?? 0]) }
    return ""
  }

  // MARK: Dumps

  private func dumpFlows(_ arguments: [String], _ reply: ControlReply) {
    do throws(ControlError) {
      let arguments = try ControlArguments(
        "flow/dump", arguments, options: ["no-stats", "names", "no-names", "sort", "rsort", "format"],
        words: 1...2)
      let pipeline = try flows(of: arguments.bridge)
      var rules = pipeline.flows(try filter(arguments))
      try FlowOrder(arguments).sort(&rules)
      let formatter = formatter(arguments)
      let now = datapath.milliseconds
      if arguments.wantsJSON {
        try dumps.start(FlowRows(formatter: formatter, now: now).dump(of: rules), reply)
      } else if arguments.has("no-stats") {
        try dumps.start(FlowDump(rules: rules) { rule, _ in " \(formatter.flow(rule.description))\n" }, reply)
      } else {
        try dumps.start(FlowDump(rules: rules) { rule, _ in "\(formatter.rule(rule, now: now))\n" }, reply)
      }
    } catch { reply.fail(error.description) }
  }

  private func aggregateFlows(_ arguments: [String]) throws(ControlError) -> String {
    let arguments = try ControlArguments("flow/aggregate", arguments, options: ["format"], words: 1...2)
    let rules = try flows(of: arguments.bridge).flows(try filter(arguments))
    let packets = rules.reduce(UInt64(0)) { $0 &+ $1.counters.packets }
    let bytes = rules.reduce(UInt64(0)) { $0 &+ $1.counters.bytes }
    guard arguments.wantsJSON else {
      return "packet_count=\(packets) byte_count=\(bytes) flow_count=\(rules.count)\n"
    }
    var table = TextTable([("packet_count", .right), ("byte_count", .right), ("flow_count", .right)])
    table.append([count(packets), count(bytes), .integer(Int64(rules.count))])
    return table.json.text + "\n"
  }

  /// Tables with flows, and those that were looked up.
  private func showTables(_ arguments: [String]) throws(ControlError) -> String {
    let arguments = try ControlArguments("flow/tables", arguments, options: ["format"], words: 1...1)
    let tables = try flows(of: arguments.bridge).statistics().filter { $0.active > 0 || $0.lookups > 0 }
    guard arguments.wantsJSON else {
      return tables.map { table in
        let limit = table.limit.map { "    max_entries=\($0)\n" } ?? ""
        return
          "  table \(table.table):\n    active=\(table.active), lookup=\(table.lookups), matched=\(table.matches)\n"
          + limit
      }.joined(separator: "\n")
    }
    var report = TextTable([
      ("table", .right), ("active", .right), ("lookup", .right), ("matched", .right), ("max_entries", .right),
    ])
    for table in tables {
      report.append([
        .integer(Int64(table.table)), .integer(Int64(table.active)), count(table.lookups),
        count(table.matches),
        table.limit.map { .integer(Int64($0)) } ?? .null,
      ])
    }
    return report.json.text + "\n"
  }

  private func filter(_ arguments: ControlArguments) throws(ControlError) -> FlowModification? {
    guard let text = arguments.subject else { return nil }
    do throws(FlowError) {
      return try FlowParser(ports: portNames(of: arguments.bridge)).filter(text)
    } catch { throw ControlError("\(error)\n") }
  }
}

// What the commands on flows, groups and meters share.
extension RuntimeCommands {
  func flows(of bridge: String) throws(ControlError) -> FlowPipeline {
    guard let pipeline = datapath.flows(of: try identifier(of: bridge)) else {
      throw ControlError("bridge \(printable(bridge)) is going away\n")
    }
    return pipeline
  }

  func identifier(of bridge: String) throws(ControlError) -> BridgeID {
    guard let id = reconciler.bridge(bridge) else {
      throw ControlError("there is no bridge \(printable(bridge))\n")
    }
    return id
  }

  func portNames(of bridge: String) -> PortNameTable {
    PortNameTable(
      interfaces(on: bridge).compactMap { interface in
        let number = reconciler.condition(of: interface.name)?.number
        return number.flatMap(UInt16.init(exactly:)).map { (interface.name, PortNumber($0)) }
      })
  }

  /// Ports have names where `--names` is given.
  func formatter(_ arguments: ControlArguments) -> FlowFormatter {
    let showsNames = arguments.has("names") && !arguments.has("no-names")
    return FlowFormatter(ports: showsNames ? portNames(of: arguments.bridge) : nil)
  }
}

/// The lines of a request that changes something, with their numbers in the file they are from.
struct ControlLines {
  private let lines: ArraySlice<String>
  /// The number of the first; nil: it is the only one, and from no file.
  private let first: Int?

  /// The words behind the bridge.
  init(_ arguments: ControlArguments) {
    lines = arguments.words.dropFirst()
    let number = arguments.value("line").flatMap { Int($0) }
    first = number ?? (lines.count == 1 ? nil : 1)
  }

  var count: Int { lines.count }
  subscript(_ index: Int) -> String { lines[lines.startIndex + index] }

  func error(_ error: FlowError, at index: Int) -> ControlError {
    guard let first, lines.indices.contains(lines.startIndex + index) else {
      return ControlError("\(error)\n")
    }
    return ControlError("line \(first &+ index), \(quoted(self[index])): \(error)\n")
  }
}
