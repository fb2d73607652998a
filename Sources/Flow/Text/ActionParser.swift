// Actions as text
// ===============
//
// `list` reads a list of pairs and hands each to the parser of its kind: `output`, `fields`, `vlan`, `control`; a kind
// that does not know the name returns nil, and the next is asked. Lists in lists (`clone`, `write_actions`) come back
// here, one level deeper. What actions may stand where is checked afterwards, in `ActionCheck`.

struct ActionParser {
  static let maximumCount = 4096

  let ports: (any PortNames)?
  /// Actions read so far, in lists within lists too.
  private var count = 0

  init(ports: (any PortNames)?) { self.ports = ports }

  /// - Parameter depth: how many lists this one is in.
  mutating func list(_ text: Text, depth: Int = 0) throws(FlowError) -> [Action] {
    guard depth <= ActionCheck.deepest else {
      throw FlowError(
        "actions are nested more than \(ActionCheck.deepest) deep; use resubmit to another table instead")
    }
    var actions: [Action] = []
    var drops = false
    var reader = TextReader(text)
    while let pair = reader.next() {
      if pair.key.equals("drop") {
        drops = true
        continue
      }
      count += 1
      guard count <= Self.maximumCount else {
        throw FlowError(
          "there are more than \(Self.maximumCount) actions; use resubmit to another table instead")
      }
      try append(pair, to: &actions, depth: depth)
    }
    guard !drops || actions.isEmpty else {
      throw FlowError("drop stands alone: a list of actions that has drop has nothing else")
    }
    return actions
  }

  private mutating func append(_ pair: TextPair, to actions: inout [Action], depth: Int) throws(FlowError) {
    let name = pair.key.string
    let value = pair.value
    if name == "load" {
      actions += try loads(value)
    } else if let action = try output(name, value) {
      actions.append(action)
    } else if let action = try setting(name, value) {
      actions.append(action)
    } else if let action = try control(name, value) {
      actions.append(action)
    } else if let action = try instruction(name, value, depth: depth) {
      actions.append(action)
    } else if let port = TextPort.parse(pair.key, ports) {
      actions.append(output(port))
    } else if Self.unsupported.contains(name) {
      throw FlowError("the action \(name) is not supported: this switch does not have what it needs")
    } else {
      throw FlowError("there is no action \(pair.key.quoted); see ovs-actions(7) for their names")
    }
  }

  private static let unsupported: Set<String> = [
    "ct", "ct_clear", "nat", "set_queue", "pop_queue", "enqueue", "bundle", "bundle_load", "multipath",
    "sample",
    "fin_timeout", "set_tunnel", "set_tunnel64", "encap", "decap", "check_pkt_larger", "push_mpls",
    "pop_mpls",
    "set_mpls_label", "set_mpls_tc", "set_mpls_ttl", "dec_mpls_ttl", "dec_nsh_ttl", "delete_field",
    "debug_recirc",
    "debug_slow", "unroll_xlate", "apply_actions",
  ]

  // MARK: Output

  private func output(_ name: String, _ value: Text) throws(FlowError) -> Action? {
    switch name {
    case "output": return try output(to: value)
    case "controller", "CONTROLLER": return .controller(try controller(value))
    case "group":
      return .group(
        try number(
          value, "group", "a group, 0 to \(GroupDescription.maximumID)", upTo: GroupDescription.maximumID))
    default:
      guard let port = TextPort.reserved(name) else { return nil }
      return output(port)
    }
  }

  private func output(to text: Text) throws(FlowError) -> Action {
    if let port = TextPort.parse(text, ports) { return output(port) }
    if text.contains(.bracket) || FieldName.short[text.string] != nil || FieldName.long[text.string] != nil {
      return .outputField(try SubField(text: text))
    }
    if text.contains(.equals) {
      throw FlowError("output(\(text.shown)) is not supported: frames are sent whole; write output:PORT")
    }
    throw FlowError(
      "output:\(text.quoted): there is no such port; give the number or the name of a port of the bridge, a reserved port as NORMAL, or bits of a field"
    )
  }

  private func output(_ port: PortNumber) -> Action {
    port == .controller ? .controller(ControllerOutput()) : .output(port)
  }

  private func controller(_ text: Text) throws(FlowError) -> ControllerOutput {
    var output = ControllerOutput()
    if let length = TextNumber.integer(text) {
      guard length <= 0xFFFF else { throw FlowError("controller:\(text.quoted): give a length, 0 to 65535") }
      output.maximumLength = UInt16(length)
      return output
    }
    var reader = TextReader(text)
    while let pair = reader.next() {
      switch pair.key.string {
      case "max_len": output.maximumLength = try number(pair.value, "max_len", "a length, 0 to 65535")
      case "id": output.controllerID = try number(pair.value, "id", "a controller's number, 0 to 65535")
      case "reason":
        guard let reason = ControllerOutput.Reason(rawValue: pair.value.string) else {
          let all = ControllerOutput.Reason.allCases.map(\.rawValue).joined(separator: ", ")
          throw FlowError("controller(reason=\(pair.value.quoted)): give one of \(all)")
        }
        output.reason = reason
      default:
        throw FlowError(
          "controller(\(pair.description)) is not supported: max_len, reason and id are what it can have")
      }
    }
    return output
  }

  // MARK: Control

  private mutating func control(_ name: String, _ value: Text) throws(FlowError) -> Action? {
    switch name {
    case "resubmit": return try resubmit(value)
    case "learn": return .learn(try LearnParser(ports: ports).parse(value))
    case "conjunction": return try conjunction(value)
    case "note": return .note(try note(value))
    case "exit": return .exit
    default: return nil
    }
  }

  private func resubmit(_ text: Text) throws(FlowError) -> Action {
    let (portText, rest) = TextReader.splitAtComma(text)
    let (tableText, more) = TextReader.splitAtComma(rest ?? [])
    if let more {
      if more.trimmed.equals("ct") {
        throw FlowError("resubmit(…,ct) is not supported: this switch does not track connections")
      }
      throw FlowError(
        "resubmit(\(text.shown)): write resubmit(PORT,TABLE), resubmit(,TABLE) or resubmit:PORT")
    }
    var port: PortNumber?
    let word = portText.trimmed
    if !word.isEmpty {
      guard let number = TextPort.parse(word, ports) else {
        throw FlowError("resubmit: there is no port \(word.quoted); give its number or name, or leave it out")
      }
      if number != .inPort { port = number }
    }
    var table: UInt8?
    let tableWord = tableText.trimmed
    if !tableWord.isEmpty {
      let number: UInt8 = try number(tableWord, "resubmit to table", "a table, 0 to 254")
      // 255 is the table the flow is in.
      if number != 255 { table = number }
    }
    guard port != nil || table != nil else {
      throw FlowError(
        "resubmit needs a port or a table: write resubmit(PORT,TABLE), resubmit(,TABLE) or resubmit:PORT")
    }
    return .resubmit(port: port, table: table)
  }

  private func conjunction(_ text: Text) throws(FlowError) -> Action {
    guard let (idText, clauses) = text.split(at: .comma),
      let (clauseText, countText) = clauses.trimmed.split(at: .slash),
      let id = TextNumber.integer(idText.trimmed), id <= UInt32.max
    else { throw FlowError("conjunction(\(text.shown)): write conjunction(ID,CLAUSE/CLAUSES)") }
    return .conjunction(
      id: UInt32(id), clause: try number(clauseText, "conjunction", "a clause, counted from 1"),
      clauses: try number(countText, "conjunction", "how many clauses there are, 2 to 64"))
  }

  private func note(_ text: Text) throws(FlowError) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = text
    while let first = rest.popFirst() {
      if first == .dot { continue }
      guard let high = first.digit, let low = rest.popFirst()?.digit else {
        throw FlowError("note:\(text.quoted): give pairs of hexadecimal digits, as note:01.af")
      }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  // MARK: Instructions

  private mutating func instruction(_ name: String, _ value: Text, depth: Int) throws(FlowError) -> Action? {
    switch name {
    case "clone": return .clone(try list(value, depth: depth + 1))
    case "write_actions": return .writeActions(try list(value, depth: depth + 1))
    case "clear_actions": return .clearActions
    case "meter":
      let id = try number(
        value, name, "a meter, 1 to \(MeterDescription.maximumID)", upTo: MeterDescription.maximumID)
      guard id != 0 else { throw FlowError("meter:0: meters are numbered from 1") }
      return .meter(id)
    case "goto_table": return .gotoTable(try number(value, name, "a table, 0 to 254"))
    case "write_metadata":
      let (word, maskWord) = value.split(at: .slash) ?? (value, [])
      let mask: UInt64 = maskWord.isEmpty ? .max : try number(maskWord, name, "a mask of 64 bits")
      return .writeMetadata(value: try number(word, name, "a number of 64 bits"), mask: mask)
    default: return nil
    }
  }

  /// The number `text` is.
  ///
  /// - Parameter what: what it should be: \"a table, 0 to 254\".
  func number<Number: FixedWidthInteger>(
    _ text: Text, _ name: String, _ what: String, upTo limit: Number = .max
  ) throws(FlowError) -> Number {
    guard let value = TextNumber.integer(text), let number = Number(exactly: value), number <= limit else {
      throw FlowError("\(name): \(text.quoted) is not valid: give \(what)")
    }
    return number
  }
}
