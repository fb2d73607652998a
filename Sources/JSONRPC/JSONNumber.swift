/// The text of a number (RFC 8259 §6), whose characters alone have been looked at.
enum JSONNumber {
  /// Whether a number is a real, nil when it is not a JSON number: `-? (0 | [1-9][0-9]*) (\.[0-9]+)? ([eE][+-]?[0-9]+)?`.
  static func isReal(_ text: ArraySlice<UInt8>) -> Bool? {
    var index = text.startIndex
    func digits() -> Int {
      let start = index
      while index < text.endIndex, isDigit(text[index]) { index += 1 }
      return index - start
    }
    func skip(_ characters: StaticString) -> Bool {
      guard index < text.endIndex, characters.description.utf8.contains(text[index]) else { return false }
      index += 1
      return true
    }
    _ = skip("-")
    let leadingZero = index < text.endIndex && text[index] == UInt8(ascii: "0")
    let whole = digits()
    guard whole > 0, !leadingZero || whole == 1 else { return nil }
    if index == text.endIndex { return false }
    if skip("."), digits() == 0 { return nil }
    if skip("eE") {
      _ = skip("+-")
      if digits() == 0 { return nil }
    }
    return index == text.endIndex ? true : nil
  }

  /// The value of a number that is no real; nil beyond 64 bits.
  static func integer(_ digits: ArraySlice<UInt8>) -> Int64? {
    let negative = digits.first == UInt8(ascii: "-")
    var value: Int64 = 0
    for byte in negative ? digits.dropFirst() : digits {
      let (shifted, overflow) = value.multipliedReportingOverflow(by: 10)
      let digit = Int64(byte &- UInt8(ascii: "0"))
      let (sum, carry) =
        negative ? shifted.subtractingReportingOverflow(digit) : shifted.addingReportingOverflow(digit)
      if overflow || carry { return nil }
      value = sum
    }
    return value
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
}
