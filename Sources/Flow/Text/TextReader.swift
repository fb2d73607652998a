// How flows are written
// =====================
//
// Everything `ovs-ofctl` reads is a list of pairs: `key`, `key=value`, `key:value` or `key(value)`, separated by commas
// or white space. A value may hold commas inside of parentheses. `TextReader` takes such a list apart and knows nothing
// of what the pairs mean; nested lists are read by another reader on the value.

/// A piece of the text a user wrote, in UTF-8.
typealias Text = ArraySlice<UInt8>

extension Text {
  init(_ string: some StringProtocol) { self = Array(string.utf8)[...] }

  var string: String { String(decoding: self, as: UTF8.self) }

  /// For error messages: not the whole of a long text, and nothing that a terminal would obey.
  var shown: String {
    let printable = prefix(60).map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: "?") : $0 }
    return String(decoding: printable, as: UTF8.self) + (count > 60 ? "…" : "")
  }

  var quoted: String { "\"\(shown)\"" }

  func equals(_ other: StaticString) -> Bool {
    count == other.utf8CodeUnitCount && elementsEqual(other.description.utf8)
  }

  /// Without white space at either end.
  var trimmed: Text {
    let rest = drop(while: \.isSpace)
    guard let last = rest.lastIndex(where: { !$0.isSpace }) else { return [] }
    return rest[...last]
  }

  /// What is before and behind the first `separator`; nil when there is none.
  func split(at separator: UInt8) -> (Text, Text)? {
    guard let index = firstIndex(of: separator) else { return nil }
    return (self[..<index], self[(index + 1)...])
  }

  /// What is before and behind the first `->`.
  func splitAtArrow() -> (Text, Text)? {
    var index = startIndex
    while index + 1 < endIndex {
      if self[index] == .hyphen, self[index + 1] == UInt8(ascii: ">") {
        return (self[..<index], self[(index + 2)...])
      }
      index += 1
    }
    return nil
  }
}

extension UInt8 {
  static let comma = UInt8(ascii: ",")
  static let colon = UInt8(ascii: ":")
  static let equals = UInt8(ascii: "=")
  static let slash = UInt8(ascii: "/")
  static let hyphen = UInt8(ascii: "-")
  static let dot = UInt8(ascii: ".")
  static let quote = UInt8(ascii: "\"")
  static let backslash = UInt8(ascii: "\\")
  static let open = UInt8(ascii: "(")
  static let close = UInt8(ascii: ")")
  static let bracket = UInt8(ascii: "[")
  static let closingBracket = UInt8(ascii: "]")

  var isSpace: Bool { self == 0x20 || self >= 0x09 && self <= 0x0D }

  /// The value of a hexadecimal digit.
  var digit: UInt8? {
    switch self {
    case 0x30...0x39: self - 0x30
    case 0x41...0x46: self - 0x41 + 10
    case 0x61...0x66: self - 0x61 + 10
    default: nil
    }
  }
}

struct TextPair {
  var key: Text
  /// Empty, and at the end of the key, where `hasValue` is false.
  var value: Text
  var hasValue: Bool

  /// As it was written, nearly: for error messages.
  var description: String { hasValue ? "\(key.shown)=\(value.shown)" : key.shown }
}

struct TextReader {
  private(set) var rest: Text

  init(_ text: Text) { rest = text }

  /// The next pair; nil at the end.
  mutating func next() -> TextPair? {
    rest = rest.drop { $0 == .comma || $0.isSpace }
    guard !rest.isEmpty else { return nil }
    let keyEnd = endOfKey()
    let key = rest[..<keyEnd]
    guard keyEnd < rest.endIndex, !rest[keyEnd].isSpace, rest[keyEnd] != .comma else {
      rest = rest[keyEnd...]
      return TextPair(key: key, value: rest.prefix(0), hasValue: false)
    }
    if rest[keyEnd] == .open {
      let end = endOfParentheses(keyEnd)
      let value = rest[(keyEnd + 1)..<max(keyEnd + 1, end)]
      rest = rest[min(end + 1, rest.endIndex)...]
      return TextPair(key: key, value: value, hasValue: true)
    }
    let end = endOfValue(keyEnd + 1)
    let value = rest[(keyEnd + 1)..<end]
    rest = rest[end...]
    return TextPair(key: key, value: value, hasValue: true)
  }

  private func endOfKey() -> Int {
    var index = rest.startIndex
    if rest[index] == .quote { index = endOfQuotes(index) }
    while index < rest.endIndex {
      switch rest[index] {
      case .comma, .colon, .equals, .open: return index
      case let byte where byte.isSpace: return index
      default: index += 1
      }
    }
    return index
  }

  private func endOfValue(_ start: Int) -> Int {
    var index = start
    while index < rest.endIndex {
      switch rest[index] {
      case .comma: return index
      case .open: index = min(endOfParentheses(index) + 1, rest.endIndex)
      case .quote: index = endOfQuotes(index)
      case let byte where byte.isSpace: return index
      default: index += 1
      }
    }
    return index
  }

  /// Where the parenthesis that closes the one at `start` is; the end when there is none.
  private func endOfParentheses(_ start: Int) -> Int {
    var depth = 0
    var index = start
    while index < rest.endIndex {
      switch rest[index] {
      case .open: depth += 1
      case .close:
        depth -= 1
        if depth == 0 { return index }
      case .quote:
        index = endOfQuotes(index)
        continue
      default: break
      }
      index += 1
    }
    return rest.endIndex
  }

  /// What is before and behind the first comma that is not in quotation marks; all of it, and nothing, when there is
  /// none.
  static func splitAtComma(_ text: Text) -> (Text, Text?) {
    let reader = TextReader(text)
    var index = text.startIndex
    while index < text.endIndex {
      if text[index] == .comma { return (text[..<index], text[(index + 1)...]) }
      index = text[index] == .quote ? reader.endOfQuotes(index) : index + 1
    }
    return (text, nil)
  }

  /// Behind the quotation mark that ends the quotation begun at `start`.
  private func endOfQuotes(_ start: Int) -> Int {
    var index = start + 1
    while index < rest.endIndex {
      if rest[index] == .backslash { index += 1 } else if rest[index] == .quote { return index + 1 }
      index += 1
    }
    return rest.endIndex
  }
}
