import Datapath
import Flow
import JSONRPC

// Groups and meters, as the control socket changes and shows them.
extension RuntimeCommands {
  var groupCommands: [ControlCommand] {
    [
      ControlCommand(
        "group/mod",
        usage: "BRIDGE [--line=N] {add|mod|add_or_mod|del|insert_buckets|remove_buckets GROUP}...",
        arguments: 1...Int.max, modifyGroups),
      ControlCommand(
        "meter/mod", usage: "BRIDGE [--line=N] {add|mod|del METER}...", arguments: 1...Int.max, modifyMeters),
      dumps("group/dump", "[group_id=N]", selectGroups) { group, formatter, _, _ in
        " " + formatter.group(group.description)
      },
      dumps("group/stats", "[group_id=N]", selectGroups) { group, formatter, pipeline, now in
        let users = pipeline.flowCount(usingGroup: group.description.id)
        return " " + formatter.groupStatistics(group, references: users, now: now)
      },
      dumps("meter/dump", "[meter=N]", selectMeters) { meter, formatter, _, _ in
        formatter.meter(meter.description)
      },
      dumps("meter/stats", "[meter=N]", selectMeters) { meter, formatter, pipeline, now in
        let users = pipeline.flowCount(usingMeter: meter.description.id)
        return formatter.meterStatistics(meter, flows: users, now: now)
      },
    ]
  }

  // MARK: Changes

  private func modifyGroups(_ arguments: [String]) throws(ControlError) -> String {
    let arguments = try ControlArguments(
      "group/mod", arguments, options: ["line"], words: 1...Int.max, leading: 1)
    let pipeline = try flows(of: arguments.bridge)
    let parser = FlowParser(ports: portNames(of: arguments.bridge))
    try perform(ControlLines(arguments)) { line throws(FlowError) in
      try Self.change(line, pipeline, parser)
    }
    return ""
  }

  private func modifyMeters(_ arguments: [String]) throws(ControlError) -> String {
    let arguments = try ControlArguments(
      "meter/mod", arguments, options: ["line"], words: 1...Int.max, leading: 1)
    let pipeline = try flows(of: arguments.bridge)
    let parser = FlowParser(ports: portNames(of: arguments.bridge))
    try perform(ControlLines(arguments)) { line throws(FlowError) in
      switch line.verb {
      case "add": try pipeline.addMeter(try parser.meter(line.rest, requiresBands: true))
      case "mod", "modify": try pipeline.modifyMeter(try parser.meter(line.rest, requiresBands: true))
      case "del", "delete": try pipeline.deleteMeter(try parser.meterSelection(line.rest))
      default: throw VerbLine.unknown(line.verb, "add, mod or del")
      }
    }
    return ""
  }

  /// Does what the lines say, one after the other, up to the first that is refused.
  private func perform(_ lines: ControlLines, _ body: (VerbLine) throws(FlowError) -> Void)
    throws(ControlError)
  {
    for index in 0..<lines.count {
      guard let line = VerbLine(lines[index]) else { continue }
      do throws(FlowError) { try body(line) } catch { throw lines.error(error, at: index) }
    }
  }

  private static func change(_ line: VerbLine, _ pipeline: FlowPipeline, _ parser: FlowParser)
    throws(FlowError)
  {
    switch line.verb {
    case "add": try pipeline.addGroup(try parser.group(line.rest, requiresBuckets: false))
    case "mod", "modify": try pipeline.modifyGroup(try parser.group(line.rest, requiresBuckets: false))
    case "add_or_mod":
      try pipeline.modifyGroup(try parser.group(line.rest, requiresBuckets: false), mayCreate: true)
    case "del", "delete": try pipeline.deleteGroup(try parser.groupSelection(line.rest))
    case "insert_buckets", "insert_bucket":
      try insert(try parser.buckets(line.rest, requiresBuckets: true), pipeline)
    case "remove_buckets", "remove_bucket":
      try remove(try parser.buckets(line.rest, requiresBuckets: false), pipeline)
    default:
      throw VerbLine.unknown(line.verb, "add, mod, add_or_mod, del, insert_buckets or remove_buckets")
    }
  }

  private static func insert(_ change: BucketModification, _ pipeline: FlowPipeline) throws(FlowError) {
    let buckets = BucketModification.numbered(change.buckets, beside: buckets(of: change.group, pipeline))
    switch change.position {
    case .first: try pipeline.insertBuckets(buckets, into: change.group, at: .first)
    case .last, .all: try pipeline.insertBuckets(buckets, into: change.group, at: .last)
    case .id(let id): try pipeline.insertBuckets(buckets, into: change.group, at: .after(id))
    }
  }

  private static func remove(_ change: BucketModification, _ pipeline: FlowPipeline) throws(FlowError) {
    let id: UInt32?
    switch change.position {
    case .all: id = nil
    case .id(let bucket): id = bucket
    case .first, .last:
      let buckets = buckets(of: change.group, pipeline)
      guard let bucket = change.position == .first ? buckets.first : buckets.last else {
        throw FlowError("group \(change.group) has no buckets, or is not there")
      }
      id = bucket.id
    }
    try pipeline.removeBuckets(id, from: change.group)
  }

  private static func buckets(of group: UInt32, _ pipeline: FlowPipeline) -> [GroupDescription.Bucket] {
    pipeline.active.group(group)?.description.buckets ?? []
  }

  // MARK: Dumps

  private func selectGroups(_ text: String, _ pipeline: FlowPipeline) throws(FlowError) -> [Group] {
    let id = try FlowParser().groupSelection(text)
    return pipeline.groups.filter { id == nil || $0.description.id == id }
  }

  private func selectMeters(_ text: String, _ pipeline: FlowPipeline) throws(FlowError) -> [Meter] {
    let id = try FlowParser().meterSelection(text)
    return pipeline.meters.filter { id == nil || $0.description.id == id }
  }

  /// A command that prints what there is of a kind, or the one with a number.
  private func dumps<Item>(
    _ name: String, _ usage: String,
    _ select: @escaping (String, FlowPipeline) throws(FlowError) -> [Item],
    text: @escaping (Item, FlowFormatter, FlowPipeline, UInt64) -> String
  ) -> ControlCommand {
    ControlCommand(name, usage: "BRIDGE \(usage) [--names|--no-names]", arguments: 1...4) {
      arguments throws(ControlError) in
      let arguments = try ControlArguments(
        name, arguments, options: ["names", "no-names", "format"], words: 1...2)
      let pipeline = try flows(of: arguments.bridge)
      let items: [Item]
      do throws(FlowError) { items = try select(arguments.subject ?? "", pipeline) } catch {
        throw ControlError("\(error)\n")
      }
      let (formatter, now) = (formatter(arguments), datapath.milliseconds)
      return items.map { text($0, formatter, pipeline, now) + "\n" }.joined()
    }
  }
}

/// A line of a file of groups or meters: it may begin with what to do.
private struct VerbLine {
  let verb: String
  let rest: String

  /// Nil: the line is empty, or a comment.
  init?(_ line: String) {
    let text = line.prefix { $0 != "#" }.drop(while: \.isWhitespace)
    guard !text.isEmpty else { return nil }
    let word = text.prefix { !$0.isWhitespace && $0 != "," && $0 != "=" && $0 != ":" }
    // `group_id=1,…` has no verb.
    let next = text[word.endIndex...].first
    let hasVerb = next == nil || next?.isWhitespace == true
    verb = hasVerb ? String(word) : "add"
    rest = String(hasVerb ? text[word.endIndex...] : text)
  }

  static func unknown(_ verb: String, _ known: String) -> FlowError {
    FlowError("\(quoted(verb)) is nothing that can be done; write \(known)")
  }
}
