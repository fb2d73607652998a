/// Reads flows as `ovs-ofctl` does.
///
/// Any text gives a value or an error that says what to write instead. Port names are those of `ports`; without it,
/// numbers and reserved names are all there is.
public struct FlowParser {
  /// Bytes of one flow, group or meter.
  public static let maximumLength = 65536

  let ports: (any PortNames)?
  private let warn: ((String) -> Void)?

  /// - Parameter warn: is told, in a sentence, of conditions that were taken out of a match because they are on headers
  ///   it does not ask for.
  public init(ports: (any PortNames)? = nil, warn: ((String) -> Void)? = nil) {
    self.ports = ports
    self.warn = warn
  }

  /// Reads a match: `tcp,nw_dst=10.0.0.0/8`.
  public func match(_ text: String) throws(FlowError) -> Match {
    var parser = MatchParser(ports: ports)
    var reader = TextReader(try limited(text))
    while let pair = reader.next() { try parser.take(pair) }
    return normalized(parser.match)
  }

  /// Reads what follows `actions=`. Without the match, it cannot be checked that frames have the fields named.
  public func actions(_ text: String) throws(FlowError) -> [Action] {
    var parser = ActionParser(ports: ports)
    let actions = try parser.list(try limited(text))
    try ActionCheck.check(actions, match: nil)
    return actions
  }

  /// Reads the FLOW argument of `add-flow`, `mod-flows` or `del-flows`, with or without `--strict`.
  public func flow(_ text: String, for command: FlowModification.Command) throws(FlowError)
    -> FlowModification
  {
    try flow(try limited(text), for: command)
  }

  /// Reads a line of an `add-flows` file: a flow, with `add`, `modify`, `modify_strict`, `delete` or `delete_strict`
  /// before it for what to do with it.
  ///
  /// - Returns: nil for a line with nothing but white space or a comment, which begins with `#`.
  public func modification(line: String) throws(FlowError) -> FlowModification? {
    let text = try limited(line).prefix { $0 != UInt8(ascii: "#") }.trimmed
    guard !text.isEmpty else { return nil }
    let word = text.prefix { !$0.isSpace && $0 != .comma && $0 != .equals }
    let command: FlowModification.Command
    switch word.count <= 13 ? word.string : "" {
    case "add": command = .add
    case "modify": command = .modify
    case "modify_strict": command = .modifyStrict
    case "delete": command = .delete
    case "delete_strict": command = .deleteStrict
    default: return try flow(text, for: .add)
    }
    return try flow(text.dropFirst(word.count), for: command)
  }

  /// Reads the FLOW argument of `dump-flows`, which selects as that of `del-flows` does; `cookie` needs a mask.
  public func filter(_ text: String) throws(FlowError) -> FlowModification { try flow(text, for: .delete) }

  func limited(_ text: String) throws(FlowError) -> Text {
    guard text.utf8.count <= Self.maximumLength else {
      throw FlowError("the text is longer than \(Self.maximumLength) bytes; split what it says")
    }
    return Text(text)
  }

  private func flow(_ text: Text, for command: FlowModification.Command) throws(FlowError) -> FlowModification
  {
    var options = FlowOptions(command: command, ports: ports)
    var parser = MatchParser(ports: ports)
    var actionText: Text?
    var reader = TextReader(text)
    while let pair = reader.next() {
      if pair.key.equals("actions") || pair.key.equals("action") {
        // Everything behind it.
        actionText = pair.hasValue ? text[pair.value.startIndex...] : try listBehindSpace(reader.rest)
        break
      }
      if try !options.take(pair) { try parser.take(pair) }
    }
    var result = options.modification
    result.flow.match = normalized(parser.match)
    guard options.allowsActions else {
      guard actionText == nil else {
        throw FlowError("actions cannot be given where flows are selected; leave actions=… out")
      }
      return result
    }
    guard let actionText else {
      throw FlowError("there are no actions; end the flow with actions=LIST, or actions=drop")
    }
    var actionParser = ActionParser(ports: ports)
    result.flow.actions = try actionParser.list(actionText)
    try ActionCheck.check(result.flow.actions, match: result.flow.match)
    if let table = result.table { try ActionCheck.checkJumps(result.flow.actions, from: table) }
    return result
  }

  /// `actions = drop`
  private func listBehindSpace(_ text: Text) throws(FlowError) -> Text {
    let rest = text.trimmed
    guard rest.first == .equals else {
      throw FlowError("actions needs a list: actions=drop, actions=output:1")
    }
    return rest.dropFirst()
  }

  private func normalized(_ match: Match) -> Match {
    let result = match.normalized
    if let warn, result != match {
      let (before, after) = (FlowFormatter().match(match), FlowFormatter().match(result))
      warn("\"\(before)\" asks for headers of protocols it does not name; it was taken as \"\(after)\"")
    }
    return result
  }
}
