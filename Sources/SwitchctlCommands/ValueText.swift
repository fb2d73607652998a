import Glibc
import JSONRPC
import OVSDB

/// Column values as people write them: `[a,b]`, `{k=v}`, `"a b"`, `@name`, `1-5`.
enum ValueText {
  /// Longest range (`10-20`) that is spelled out.
  static let maximumRange = 4096

  // MARK: Reading

  static func datum(_ text: String, _ type: ColumnType, _ symbols: SymbolTable) throws(CommandError) -> Datum
  {
    var rest = text[...]
    let end = try openingDelimiter(&rest, type)
    var keys: [Atom] = []
    var values: [Atom] = []
    while let next = rest.first, next != end {
      if next.utf8.count == 1, let byte = next.utf8.first, Token.isDelimiter(byte) {
        throw CommandError(
          "\(text): unexpected \"\(next)\" parsing \(type.inWords)")
      }
      let pair = rest
      keys += try element(&rest, type.key, symbols)
      if let value = type.value { values.append(try self.value(&rest, of: pair, value, symbols)) }
      Token.skipSpaces(&rest)
      if rest.first == "," {
        rest.removeFirst()
        Token.skipSpaces(&rest)
      }
    }
    if let end {
      guard rest.popFirst() != nil else { throw CommandError("\(text): missing \"\(end)\" at end of data") }
      Token.skipSpaces(&rest)
      guard rest.isEmpty else { throw CommandError("\(text): trailing garbage after \"\(end)\"") }
    }
    return try collected(text, keys, values, type)
  }

  /// One scalar; a string may stand in quotes, as in JSON.
  static func atom(_ text: String, _ base: BaseType, _ symbols: SymbolTable) throws(CommandError) -> Atom {
    let atom = try unchecked(text, base, symbols)
    try ConstraintText.check(atom, base)
    return atom
  }

  private static func openingDelimiter(_ rest: inout Substring, _ type: ColumnType) throws(CommandError)
    -> Character?
  {
    Token.skipSpaces(&rest)
    guard let first = rest.first else {
      throw CommandError(
        type.isMap ? "use \"{}\" to specify the empty map" : "use \"[]\" to specify the empty set")
    }
    guard first == (type.isMap ? "{" : "[") else { return nil }
    rest.removeFirst()
    Token.skipSpaces(&rest)
    return type.isMap ? "}" : "]"
  }

  /// One key, or of integers a range of keys.
  private static func element(_ rest: inout Substring, _ base: BaseType, _ symbols: SymbolTable)
    throws(CommandError) -> [Atom]
  {
    let word = try Token.take(from: &rest)
    guard base.type == .integer, let range = try range(word, base) else {
      return [try atom(word, base, symbols)]
    }
    return range.map(Atom.integer)
  }

  /// `FIRST-LAST`; nil when `word` is not of that form.
  private static func range(_ word: String, _ base: BaseType) throws(CommandError) -> ClosedRange<Int64>? {
    guard let dash = word.dropFirst().firstIndex(of: "-"), let first = Int64(word[..<dash]),
      let last = Int64(word[word.index(after: dash)...])
    else { return nil }
    guard first <= last else {
      throw CommandError("\"\(word)\" is not a valid range. Range end cannot be before start.")
    }
    try ConstraintText.check(.integer(first), base)
    try ConstraintText.check(.integer(last), base)
    let (distance, overflow) = last.subtractingReportingOverflow(first)
    guard !overflow, distance < maximumRange else {
      throw CommandError("\"\(word)\" is not a valid range: it has more than \(maximumRange) values")
    }
    return first...last
  }

  /// A pair's `=VALUE`.
  private static func value(
    _ rest: inout Substring, of pair: Substring, _ base: BaseType, _ symbols: SymbolTable
  ) throws(CommandError) -> Atom {
    Token.skipSpaces(&rest)
    guard rest.first == "=" else {
      // At the end of the text Open vSwitch's sentence breaks off.
      let expecting = "\" expecting \"=\""
      guard let next = rest.first else {
        throw CommandError("\(pair): syntax error at \"", hint: expecting)
      }
      throw CommandError("\(pair): syntax error at \"\(next)\(expecting)")
    }
    rest.removeFirst()
    Token.skipSpaces(&rest)
    return try atom(try Token.take(from: &rest), base, symbols)
  }

  private static func collected(_ text: String, _ keys: [Atom], _ values: [Atom], _ type: ColumnType)
    throws(CommandError) -> Datum
  {
    let datum = type.isMap ? Datum(map: Array(zip(keys, values))) : Datum(keys)
    let what = type.isMap ? "pair(s)" : "value(s)"
    if keys.count < type.minimum {
      throw CommandError("\(text): \(keys.count) \(what) specified but the minimum number is \(type.minimum)")
    }
    if let maximum = type.maximum, keys.count > maximum {
      throw CommandError("\(text): \(keys.count) \(what) specified but the maximum number is \(maximum)")
    }
    guard datum.count == keys.count else {
      throw CommandError(
        "\(text): \(type.isMap ? "map contains duplicate key" : "set contains duplicate value")")
    }
    return datum
  }

  private static func unchecked(_ text: String, _ base: BaseType, _ symbols: SymbolTable) throws(CommandError)
    -> Atom
  {
    switch base.type {
    case .integer:
      guard let value = Int64(text) else { throw CommandError("\"\(text)\" is not a valid integer or range") }
      return .integer(value)
    case .real:
      guard let value = Double(text), value.isFinite else {
        throw CommandError("\"\(text)\" is not a valid real number")
      }
      return .real(value)
    case .boolean:
      switch text {
      case "true", "yes", "on", "1": return .boolean(true)
      case "false", "no", "off", "0": return .boolean(false)
      default: throw CommandError("\"\(text)\" is not a valid boolean (use \"true\" or \"false\")")
      }
    case .string: return .string(try string(text))
    case .uuid:
      if text.hasPrefix("@") { return .uuid(symbols.reference(text, from: base)) }
      guard let uuid = UUID(text) else { throw CommandError("\"\(text)\" is not a valid UUID") }
      return .uuid(uuid)
    }
  }

  private static func string(_ text: String) throws(CommandError) -> String {
    if text.isEmpty {
      throw CommandError("An empty string is not valid as input; use \"\" to represent the empty string")
    }
    guard text.hasPrefix("\"") else { return text }
    guard text.count >= 2, text.hasSuffix("\"") else {
      throw CommandError("\(text): missing quote at end of quoted string")
    }
    do throws(JSONError) {
      if let string = try JSON(parsing: text).string { return string }
    } catch { throw CommandError("\(text): \(error.reason)") }
    throw CommandError("\(text): not a quoted string")
  }

  // MARK: Writing

  /// The form that `datum(_:_:_:)` reads back.
  static func text(_ datum: Datum, _ type: ColumnType) -> String {
    let elements = elements(datum, type, text).joined(separator: ", ")
    guard type.isPlural || datum.isEmpty else { return elements }
    return type.isMap ? "{\(elements)}" : "[\(elements)]"
  }

  /// Without quotes and delimiters: for shell scripts.
  static func bare(_ datum: Datum, _ type: ColumnType) -> String {
    elements(datum, type, bare).joined(separator: " ")
  }

  static func text(_ atom: Atom) -> String {
    switch atom {
    case .string(let value): needsQuotes(value) ? JSON.string(value).text : value
    case .real(let value): realText(value)
    default: atom.description
    }
  }

  static func bare(_ atom: Atom) -> String {
    if case .string(let value) = atom { value } else { text(atom) }
  }

  private static func elements(_ datum: Datum, _ type: ColumnType, _ text: (Atom) -> String) -> [String] {
    guard type.isMap else { return datum.keys.map(text) }
    return zip(datum.keys, datum.values).map { "\(text($0))=\(text($1))" }
  }

  /// C's `%.15g`.
  private static func realText(_ value: Double) -> String {
    var buffer = [CChar](repeating: 0, count: 40)
    let length = withVaList([value]) { vsnprintf(&buffer, buffer.count, "%.15g", $0) }
    return String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func needsQuotes(_ text: String) -> Bool {
    func isLetter(_ byte: UInt8) -> Bool {
      let lower = byte | 0x20
      return lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z")
    }
    guard let first = text.utf8.first, isLetter(first) || first == UInt8(ascii: "_") else { return true }
    let isPlain = text.utf8.allSatisfy {
      isLetter($0) || ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9")) || "_-.".utf8.contains($0)
    }
    return !isPlain || text == "true" || text == "false" || UUIDText.isUUID(text)
  }
}
