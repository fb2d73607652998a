/// The text form of UUIDs (RFC 4122: 8-4-4-4-12 hexadecimal digits), whole and in part.
enum UUIDText {
  static func isUUID(_ text: some StringProtocol) -> Bool { matchedLength(text) == 36 }

  /// Whether `text` begins a UUID with at least four characters.
  static func isPrefix(_ text: some StringProtocol) -> Bool { (matchedLength(text) ?? 0) >= 4 }

  /// How long `text` is if all of it could begin a UUID; nil otherwise.
  private static func matchedLength(_ text: some StringProtocol) -> Int? {
    let bytes = text.utf8
    guard bytes.count <= 36 else { return nil }
    for (index, byte) in bytes.enumerated() {
      let isDash = index == 8 || index == 13 || index == 18 || index == 23
      guard isDash ? byte == UInt8(ascii: "-") : isHexadecimal(byte) else { return nil }
    }
    return bytes.count
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
      UInt8(ascii: "A")...UInt8(ascii: "F"):
      true
    default: false
    }
  }
}
