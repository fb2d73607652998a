// Values of fields as text
// ========================
//
// A field's `format` says how its values are written; masks are written behind a slash. A prefix length stands for the
// mask of an address. What does not fit is refused, never cut off.

/// A field's value, and which of its bits count.
struct FieldValue: Equatable {
  var value: UInt128
  var mask: UInt128
}

extension Field {
  /// The bits a mask covers when none is given. `nw_tos` is a byte of which two bits belong to `nw_ecn`.
  var wholeMask: UInt128 { self == .ipTOS ? 0xFC : info.maximum }

  /// Reads `VALUE` or `VALUE/MASK`; `*` and nothing mean any value.
  func value(of text: Text, ports: (any PortNames)?) throws(FlowError) -> FieldValue {
    if text.isEmpty || text.equals("*") { return FieldValue(value: 0, mask: 0) }
    let result = try parse(text, ports)
    guard result.mask & ~info.maximum == 0, result.mask == info.maximum || result.value & ~info.maximum == 0
    else {
      throw invalid(text, "the mask must fit in its \(info.width) bits")
    }
    guard result.value & ~storedMaximum == 0 else {
      throw invalid(text, "the value must fit in its \(info.width) bits")
    }
    guard info.masking == .arbitrary || result.mask == 0 || result.mask == info.maximum else {
      throw invalid(text, "it can be matched as a whole only, without a mask")
    }
    return FieldValue(value: result.value, mask: result.mask & wholeMask)
  }

  private func parse(_ text: Text, _ ports: (any PortNames)?) throws(FlowError) -> FieldValue {
    switch info.format {
    case .port:
      guard let port = TextPort.parse(text, ports) else {
        throw invalid(text, "give the number or the name of a port of the bridge, or LOCAL")
      }
      return FieldValue(value: UInt128(port.value), mask: info.maximum)
    case .fragment:
      guard let fragments = FragmentText.parse(text) else {
        throw invalid(text, "give no, yes, first, later or not_later")
      }
      return fragments
    case .tcpFlags: return try TCPFlagsText.parse(text)
    case .decimal, .hexadecimal:
      return try parse(text, "give a number", TextNumber.integer, mask: TextNumber.integer)
    case .ethernet:
      return try parse(
        text, "give an address as 00:11:22:33:44:55", TextNumber.ethernet, mask: TextNumber.ethernet)
    case .ipv4:
      return try parse(text, "give an address as 10.0.0.0, 10.0.0.0/8 or 10.0.0.0/255.0.0.0", TextNumber.ipv4)
      {
        $0.contains(.dot) ? TextNumber.ipv4($0) : Self.prefix($0, width: 32)
      }
    case .ipv6:
      return try parse(text, "give an address as fe80::, fe80::/64 or fe80::/ffff::", TextNumber.ipv6) {
        $0.contains(.colon) ? TextNumber.ipv6($0) : Self.prefix($0, width: 128)
      }
    }
  }

  private func parse(
    _ text: Text, _ help: String, _ value: (Text) -> UInt128?, mask: (Text) -> UInt128?
  ) throws(FlowError) -> FieldValue {
    guard let (first, second) = text.split(at: .slash) else {
      guard let value = value(text) else { throw invalid(text, help) }
      return FieldValue(value: value, mask: info.maximum)
    }
    guard let value = value(first), let mask = mask(second) else { throw invalid(text, help) }
    return FieldValue(value: value, mask: mask)
  }

  private static func prefix(_ text: Text, width: Int) -> UInt128? {
    guard let length = TextNumber.integer(text, base: 10), length <= UInt128(width) else { return nil }
    return TextNumber.prefixMask(Int(length), width: width)
  }

  private func invalid(_ text: Text, _ help: String) -> FlowError {
    FlowError("\(info.name)=\(text.quoted) is not valid: \(help)")
  }

  /// The value as it stands in `set_field` and `learn`.
  func text(_ value: UInt128, mask: UInt128? = nil, ports: (any PortNames)?) -> String {
    let mask = mask.flatMap { $0 & info.maximum == info.maximum || $0 == wholeMask ? nil : $0 & info.maximum }
    switch info.format {
    case .decimal:
      // Masks of decimal fields are hexadecimal.
      return String(value) + (mask.map { "/" + TextNumber.hexadecimal($0) } ?? "")
    case .hexadecimal:
      return TextNumber.hexadecimal(value) + (mask.map { "/" + TextNumber.hexadecimal($0) } ?? "")
    case .ethernet:
      return TextNumber.ethernet(value) + (mask.map { "/" + TextNumber.ethernet($0) } ?? "")
    case .ipv4: return TextNumber.ipv4(value) + addressMask(mask, TextNumber.ipv4)
    case .ipv6: return TextNumber.ipv6(value) + addressMask(mask, TextNumber.ipv6)
    case .port: return TextPort.format(PortNumber(UInt16(truncatingIfNeeded: value)), ports)
    case .fragment: return FragmentText.format(value, mask: mask ?? 3)
    case .tcpFlags: return TCPFlagsText.format(value, mask: mask)
    }
  }

  private func addressMask(_ mask: UInt128?, _ format: (UInt128) -> String) -> String {
    guard let mask else { return "" }
    if let length = TextNumber.prefixLength(mask, width: info.width) { return "/\(length)" }
    return "/" + format(mask)
  }
}

/// `ip_frag`: bit 0 says that the frame is a fragment, bit 1 that it is not the first.
enum FragmentText {
  private static let names: [(name: StaticString, value: UInt128, mask: UInt128)] = [
    ("no", 0, 3), ("yes", 1, 1), ("first", 1, 3), ("later", 3, 3), ("not_later", 0, 2),
  ]

  static func parse(_ text: Text) -> FieldValue? {
    names.first { text.equals($0.name) }.map { FieldValue(value: $0.value, mask: $0.mask) }
  }

  static func format(_ value: UInt128, mask: UInt128) -> String {
    switch mask & 3 {
    case 1: value & 1 != 0 ? "yes" : "no"
    case 2: value & 2 != 0 ? "later" : "not_later"
    default: value & 2 != 0 ? "later" : value & 1 != 0 ? "first" : "no"
    }
  }
}

/// `tcp_flags`: `+syn-ack` where some matter, `syn|ack` where all do.
enum TCPFlagsText {
  private static let names = [
    "fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]",
  ]

  static func parse(_ text: Text) throws(FlowError) -> FieldValue {
    if let first = text.first, first == UInt8(ascii: "+") || first == .hyphen { return try signed(text) }
    if let (value, mask) = text.split(at: .slash) {
      guard let value = TextNumber.integer(value), let mask = TextNumber.integer(mask), value | mask <= 0xFFF
      else {
        throw invalid(text)
      }
      return FieldValue(value: value, mask: mask)
    }
    if let value = TextNumber.integer(text) {
      guard value <= 0xFFF else { throw invalid(text) }
      return FieldValue(value: value, mask: 0xFFF)
    }
    var value: UInt128 = 0
    for name in text.split(separator: UInt8(ascii: "|"), omittingEmptySubsequences: false) {
      guard let bit = bit(name) else { throw invalid(text) }
      value |= bit
    }
    return FieldValue(value: value, mask: 0xFFF)
  }

  private static func signed(_ text: Text) throws(FlowError) -> FieldValue {
    var result = FieldValue(value: 0, mask: 0)
    var rest = text
    while let sign = rest.popFirst() {
      let name = rest.prefix { $0 != UInt8(ascii: "+") && $0 != .hyphen }
      rest = rest.dropFirst(name.count)
      guard let bit = bit(name) else { throw invalid(text) }
      guard result.mask & bit == 0 else {
        throw FlowError("tcp_flags=\(text.quoted) names the flag \(name.shown) twice; name it once")
      }
      result.mask |= bit
      if sign != .hyphen { result.value |= bit }
    }
    return result
  }

  private static func bit(_ name: Text) -> UInt128? {
    guard name.count <= 5 else { return nil }
    let string = name.string
    return names.firstIndex(of: string).map { 1 << UInt128($0) }
  }

  private static func invalid(_ text: Text) -> FlowError {
    FlowError(
      "tcp_flags=\(text.quoted) is not valid: give flags as +syn-ack or syn|ack, of \(names.joined(separator: " ")), or a number below 0x1000"
    )
  }

  static func format(_ value: UInt128, mask: UInt128?) -> String {
    let mask = mask.map { $0 & 0xFFF } ?? 0xFFF
    let bits = (0..<12).filter { mask >> UInt128($0) & 1 != 0 }
    if mask == 0xFFF {
      let set = bits.filter { value >> UInt128($0) & 1 != 0 }
      return set.isEmpty ? "0" : set.map { names[$0] }.joined(separator: "|")
    }
    return bits.map { (value >> UInt128($0) & 1 != 0 ? "+" : "-") + names[$0] }.joined()
  }
}
