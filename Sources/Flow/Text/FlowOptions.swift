// What a flow has besides its match and its actions; which options there are depends on the command.

struct FlowOptions {
  let ports: (any PortNames)?
  private(set) var modification: FlowModification
  private var hasCookieMask = false

  init(command: FlowModification.Command, ports: (any PortNames)?) {
    self.ports = ports
    modification = FlowModification(command, FlowDescription())
    if command != .add { modification.table = nil }
  }

  private var command: FlowModification.Command { modification.command }
  var allowsActions: Bool { command != .delete && command != .deleteStrict }

  /// Takes an option; false when `pair` is none.
  mutating func take(_ pair: TextPair) throws(FlowError) -> Bool {
    let name = pair.key.string
    if try takeSelection(name, pair) { return true }
    switch name {
    case "priority":
      guard command != .delete else {
        throw FlowError("priority selects flows with --strict only; leave it out, or delete strictly")
      }
      modification.flow.priority = try number(pair, "a priority, 0 to 65535")
    case "idle_timeout": modification.flow.idleTimeout = try setting(pair)
    case "hard_timeout": modification.flow.hardTimeout = try setting(pair)
    case "importance": modification.flow.importance = try setting(pair)
    case "duration", "n_packets", "n_bytes", "idle_age", "hard_age":
      // So that what was dumped can be read again.
      break
    default:
      guard !pair.hasValue, let flag = FlowDescription.Flags.names.first(where: { $0.name == name }) else {
        return false
      }
      try requireSettings(name)
      modification.flow.flags.insert(flag.flag)
    }
    return true
  }

  private mutating func takeSelection(_ name: String, _ pair: TextPair) throws(FlowError) -> Bool {
    switch name {
    case "table":
      let table: UInt8 = try number(pair, "a table, 0 to 254")
      guard table != 255 || command != .add else { throw FlowError("table=255: give a table, 0 to 254") }
      modification.table = table == 255 ? nil : table
      modification.flow.table = table == 255 ? 0 : table
    case "cookie": try setCookie(pair)
    case "out_port":
      try requireDeletion(name)
      guard let port = TextPort.parse(pair.value, ports) else {
        throw FlowError("out_port=\(pair.value.quoted): there is no such port; give its number or its name")
      }
      modification.outputPort = port == .none ? nil : port
    case "out_group":
      try requireDeletion(name)
      modification.outputGroup = try number(pair, "a group's number")
    default: return false
    }
    return true
  }

  /// `cookie=V` sets a cookie, `cookie=V/MASK` selects by it.
  private mutating func setCookie(_ pair: TextPair) throws(FlowError) {
    guard let (value, mask) = pair.value.split(at: .slash) else {
      guard allowsActions else {
        throw FlowError(
          "cookie=\(pair.value.quoted) selects no flows without a mask; write cookie=\(pair.value.shown)/-1")
      }
      guard !hasCookieMask else { throw bothCookies }
      modification.flow.cookie = try cookie(pair.value)
      modification.setsCookie = true
      return
    }
    guard command != .add else {
      throw FlowError("cookie=\(pair.value.quoted): a flow that is added has a cookie without a mask")
    }
    guard !modification.setsCookie else { throw bothCookies }
    hasCookieMask = true
    modification.cookieMask = try cookie(mask)
    modification.flow.cookie = try cookie(value) & modification.cookieMask
  }

  private var bothCookies: FlowError {
    FlowError(
      "a cookie with a mask selects flows and one without is set; both at once are not supported: use two commands"
    )
  }

  private func cookie(_ text: Text) throws(FlowError) -> UInt64 {
    if text.equals("-1") { return .max }
    return try ActionParser(ports: ports).number(text, "cookie", "a number of 64 bits, or -1")
  }

  private func setting(_ pair: TextPair) throws(FlowError) -> UInt16 {
    try requireSettings(pair.key.string)
    return try number(pair, "a number, 0 to 65535")
  }

  private func requireSettings(_ name: String) throws(FlowError) {
    guard allowsActions else { throw FlowError("\(name) does not select flows; leave it out") }
  }

  private func requireDeletion(_ name: String) throws(FlowError) {
    guard !allowsActions else {
      throw FlowError("\(name) selects flows that are deleted or dumped; leave it out")
    }
  }

  private func number<Number: FixedWidthInteger>(_ pair: TextPair, _ what: String) throws(FlowError) -> Number
  {
    try ActionParser(ports: ports).number(pair.value, pair.key.string, what)
  }
}
