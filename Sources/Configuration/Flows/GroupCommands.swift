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
      dumps("group/dump", "group_id", \.groups) {
        $0.description.id
      } text: { group, formatter, _, _ in
        " " + formatter.group(group.description)
      },
      dumps("group/stats", "group_id", \.groups) {
        $0.description.id
      } text: { group, formatter, pipeline, now in
        " "
          + formatter.statistics(
            of: group, users: pipeline.flowCount(usingGroup: group.description.id), now: now)
      },
      dumps("meter/dump", "meter", \.meters) {
        $0.description.id
      } text: { meter, formatter, _, _ in
        formatter.meter(meter.description)
      },
      dumps("meter/stats", "meter", \.meters) {
        $0.description.id
      } text: { meter, formatter, pipeline, now in
        formatter.statistics(
          of: meter, users: pipeline.flowCount(usingMeter: meter.description.id), now: now)
      },
    ]
  }

  // MARK: Changes

  private func modifyGroups(_ arguments: [String]) throws(ControlError) -> String {
    let arguments = try ControlArguments(
      "group/mod", arguments, options: ["line"], words: 1...Int.max, leading: 1)
    let pipeline = try flows(of: arguments.bridge)
    let parser = FlowParser(ports: portNames(of: arguments.bridge))
    try perform(ControlLines(arguments), defaultVerb: "add") { line throws(FlowError) in
      try Self.change(line, pipeline, parser)
    }
    return ""
  }

  private func modifyMeters(_ arguments: [String]) throws(ControlError) -> String {
    let arguments = try ControlArguments(
      "meter/mod", arguments, options: ["line"], words: 1...Int.max, leading: 1)
    let pipeline = try flows(of: arguments.bridge)
    let parser = FlowParser(ports: portNames(of: arguments.bridge))
    try perform(ControlLines(arguments), defaultVerb: "add") { line throws(FlowError) in
      switch line.verb {
      case "add": try pipeline.addMeter(try parser.meter(line.rest, requiresBands: true))
      case "mod", "modify": try pipeline.modifyMeter(try parser.meter(line.rest, requiresBands: true))
      case "del", "delete": try pipeline.deleteMeter(try VerbLine.number("meter", in: line.rest))
      default: throw VerbLine.unknown(line.verb, "add, mod or del")
      }
    }
    return ""
  }

  /// Does what the lines say, one after the other, up to the first that is refused.
  private func perform(
    _ lines: ControlLines, defaultVerb: String, _ body: (VerbLine) throws(FlowError) -> Void
  ) throws(ControlError) {
    for index in 0..<lines.count {
      guard let line = VerbLine(lines[index], defaultVerb: defaultVerb) else { continue }
      do throws(FlowError) { try body(line) } catch { throw lines.error(error, at: index) }
    }
  }

  private static func change(_ line: VerbLine, _ pipeline: FlowPipeline, _ parser: FlowParser)
    throws(FlowError)
  {
    var text = line.rest
    switch line.verb {
    case "add": try pipeline.addGroup(try parser.group(text, requiresBuckets: true))
    case "mod", "modify": try pipeline.modifyGroup(try parser.group(text, requiresBuckets: true))
    case "add_or_mod", "may_create":
      try pipeline.modifyGroup(try parser.group(text, requiresBuckets: true), mayCreate: true)
    case "del", "delete": try pipeline.deleteGroup(try VerbLine.number("group_id", in: text))
    case "insert_buckets", "insert_bucket":
      let position = VerbLine.take("command_bucket_id", from: &text) ?? "last"
      let group = try parser.group(text, requiresBuckets: true)
      let place: FlowPipeline.BucketPosition =
        switch position {
        case "first": .first
        case "last": .last
        default: .after(try VerbLine.bucket(position))
        }
      try pipeline.insertBuckets(group.buckets, into: group.id, at: place)
    case "remove_buckets", "remove_bucket":
      let position = VerbLine.take("command_bucket_id", from: &text) ?? "all"
      guard let id = try VerbLine.number("group_id", in: text) else {
        throw FlowError("remove_buckets needs the group: group_id=N")
      }
      try pipeline.removeBuckets(try Self.bucket(position, of: id, pipeline), from: id)
    default:
      throw VerbLine.unknown(line.verb, "add, mod, add_or_mod, del, insert_buckets or remove_buckets")
    }
  }

  /// The bucket that is to go; nil: all.
  private static func bucket(_ position: String, of group: UInt32, _ pipeline: FlowPipeline)
    throws(FlowError) -> UInt32?
  {
    if position == "all" { return nil }
    guard position == "first" || position == "last" else { return try VerbLine.bucket(position) }
    let buckets = pipeline.groups.first { $0.description.id == group }?.description.buckets ?? []
    guard let bucket = position == "first" ? buckets.first : buckets.last else {
      throw FlowError("group \(group) has no buckets")
    }
    return bucket.id
  }

  // MARK: Dumps

  /// A command that prints what there is of a kind, or the one with a number.
  private func dumps<Item>(
    _ name: String, _ option: String, _ items: @escaping (FlowPipeline) -> [Item],
    id: @escaping (Item) -> UInt32,
    text: @escaping (Item, FlowFormatter, FlowPipeline, UInt64) -> String
  ) -> ControlCommand {
    ControlCommand(name, usage: "BRIDGE [\(option)=N] [--names|--no-names]", arguments: 1...4) {
      arguments throws(ControlError) in
      let arguments = try ControlArguments(
        name, arguments, options: ["names", "no-names", "format"], words: 1...2)
      let pipeline = try flows(of: arguments.bridge)
      let number: UInt32?
      do throws(FlowError) { number = try VerbLine.number(option, in: arguments.subject ?? "") } catch {
        throw ControlError("\(error)\n")
      }
      let (formatter, now) = (formatter(arguments), datapath.milliseconds)
      return items(pipeline).filter { number == nil || id($0) == number }
        .map { text($0, formatter, pipeline, now) + "\n" }.joined()
    }
  }
}

/// A line that begins with what to do.
struct VerbLine {
  let verb: String
  let rest: String

  /// Nil: the line is empty, or a comment.
  init?(_ line: String, defaultVerb: String) {
    let text = line.prefix { $0 != "#" }.drop(while: \.isWhitespace)
    guard !text.isEmpty else { return nil }
    let word = text.prefix { !$0.isWhitespace && $0 != "," && $0 != "=" && $0 != ":" }
    let next = text[word.endIndex...].first
    // `group_id=1,…` has no verb.
    guard next == nil || next?.isWhitespace == true else {
      (verb, rest) = (defaultVerb, String(text))
      return
    }
    (verb, rest) = (String(word), String(text[word.endIndex...].drop(while: \.isWhitespace)))
  }

  static func unknown(_ verb: String, _ known: String) -> FlowError {
    FlowError("\(quoted(verb)) is nothing that can be done; write \(known)")
  }

  /// The number that `NAME=N` gives; nil: `all`, or nothing is said.
  static func number(_ name: String, in text: String) throws(FlowError) -> UInt32? {
    var rest = text
    let value = take(name, from: &rest)
    let others = rest.filter { !$0.isWhitespace && $0 != "," }
    guard others.isEmpty else {
      throw FlowError("\(quoted(others)) selects nothing; write \(name)=N, or nothing for all")
    }
    guard let value, value != "all", value != "ALL" else { return nil }
    guard let number = parse(value) else { throw FlowError("\(name)=\(printable(value)) is no number") }
    return number
  }

  static func bucket(_ text: String) throws(FlowError) -> UInt32 {
    guard let number = parse(text) else {
      throw FlowError("command_bucket_id=\(printable(text)): write a bucket's number, first, last or all")
    }
    return number
  }

  /// Takes `NAME=VALUE` out of a list, and returns the value.
  static func take(_ name: String, from text: inout String) -> String? {
    var rest = text[...]
    while !rest.isEmpty {
      let word = rest.prefix { $0 != "," && !$0.isWhitespace }
      if word.hasPrefix(name), let mark = word.dropFirst(name.count).first, mark == "=" || mark == ":" {
        let value = String(word.dropFirst(name.count + 1))
        text.replaceSubrange(word.startIndex..<word.endIndex, with: "")
        return value
      }
      rest = rest[word.endIndex...].dropFirst()
    }
    return nil
  }

  private static func parse(_ text: String) -> UInt32? {
    text.hasPrefix("0x") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
  }
}
