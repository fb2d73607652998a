/// The names of a bridge's ports.
public protocol PortNames {
  /// The port of that name; nil when there is none.
  func number(ofPort name: String) -> PortNumber?
  /// The name of a port; nil when it is written as a number.
  func name(ofPort number: PortNumber) -> String?
}

enum TextPort {
  /// A port by its number, its reserved name in any case, or its name, quoted or not.
  static func parse(_ text: Text, _ ports: (any PortNames)?) -> PortNumber? {
    if let number = TextNumber.integer(text, base: 10) {
      // OpenFlow 1.1 and later write reserved ports in 32 bits.
      guard number <= 0xFFFF || number >= 0xFFFF_FF00 && number <= 0xFFFF_FFFF else { return nil }
      return PortNumber(UInt16(truncatingIfNeeded: number))
    }
    let word = text.string
    if let reserved = reserved(word) { return reserved }
    guard let ports else { return nil }
    return ports.number(ofPort: text.first == .quote ? unquote(text) ?? word : word)
  }

  static func reserved(_ word: String) -> PortNumber? {
    guard word.utf8.count <= 10 else { return nil }
    let upper = word.uppercased()
    return PortNumber.names.first { $0.name == upper }?.number
  }

  static func format(_ port: PortNumber, _ ports: (any PortNames)?) -> String {
    if port == .none { return "ANY" }
    if let reserved = PortNumber.names.first(where: { $0.number == port }) { return reserved.name }
    guard let name = ports?.name(ofPort: port) else { return String(port.value) }
    return isPlain(name) ? name : quote(name)
  }

  /// Whether a name can stand without quotation marks, taken for nothing else.
  private static func isPlain(_ name: String) -> Bool {
    guard let first = name.utf8.first, first | 0x20 >= 0x61 && first | 0x20 <= 0x7A || first == 0x5F,
      reserved(name) == nil
    else { return false }
    return name.utf8.allSatisfy {
      $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A || $0 >= 0x30 && $0 <= 0x39 || $0 == 0x5F
    }
  }

  private static func quote(_ name: String) -> String {
    var text = "\""
    for scalar in name.unicodeScalars {
      switch scalar {
      case "\"", "\\": text += "\\" + String(scalar)
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case _ where scalar.value < 0x20:
        text += "\\u00" + TextNumber.hexByte(UInt8(truncatingIfNeeded: scalar.value))
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text + "\""
  }

  /// What is in the quotation marks, by the rules of JSON.
  private static func unquote(_ text: Text) -> String? {
    guard text.count >= 2, text.last == .quote else { return nil }
    var result: [UInt8] = []
    var rest = text.dropFirst().dropLast()
    while let byte = rest.popFirst() {
      guard byte == .backslash else {
        result.append(byte)
        continue
      }
      switch rest.popFirst() {
      case UInt8(ascii: "n"): result.append(0x0A)
      case UInt8(ascii: "r"): result.append(0x0D)
      case UInt8(ascii: "t"): result.append(0x09)
      case UInt8(ascii: "u"):
        guard rest.count >= 4, let code = TextNumber.integer(rest.prefix(4), base: 16),
          let scalar = Unicode.Scalar(UInt32(code))
        else { return nil }
        rest = rest.dropFirst(4)
        result += Array(String(Character(scalar)).utf8)
      case let other?: result.append(other)
      case nil: return nil
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
