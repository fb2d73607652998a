/// Splits a byte stream into JSON documents while parsing them: each byte is looked at once, however the stream was
/// cut into reads.
///
/// Theory of operation. JSON-RPC over a stream has no length prefix; a document ends where its outermost bracket
/// closes. So the parser is a state machine that can stop at any byte: open containers are on an explicit `stack`
/// (no recursion), `expectation` says what may come next, and a token cut off by the end of the buffer stays in the
/// buffer with `scanned` remembering how much of it was examined. Everything a peer controls is bounded by `Limits`.
///
/// Accepted is RFC 8259, strictly, except: a key twice in one object, U+0000 in a string, a number whose magnitude
/// does not fit (an integer beyond 64 bits, a real beyond a double) are errors.
public struct JSONFramer {
  /// What one document may cost.
  public struct Limits: Sendable {
    /// Bytes of one document.
    public var bytes: Int
    /// Containers inside each other.
    public var depth: Int
    /// Values in one document, keys included: bounds memory, since `[0,0,…` costs more than its bytes.
    public var values: Int

    public init(bytes: Int = 64 << 20, depth: Int = 100, values: Int = 8_000_000) {
      self.bytes = bytes
      self.depth = depth
      self.values = values
    }
  }

  private enum Expectation {
    case value
    case valueOrEnd
    case key
    case keyOrEnd
    case colon
    case commaOrEnd
  }

  private struct Container {
    var isObject: Bool
    var elements: [JSON] = []
    var members: [String: JSON] = [:]
    var key = ""
  }

  private let limits: Limits
  private var buffer: [UInt8] = []
  /// The next byte to look at.
  private var position = 0
  /// Bytes of an incomplete token, from `position`, that need not be looked at again.
  private var scanned = 0
  private var tokenHasEscapes = false
  /// All bits of the token's bytes.
  private var tokenBits: UInt8 = 0
  /// `position` at which the current document began; negative when its start was already dropped.
  private var documentStart = 0
  private var values = 0
  private var stack: [Container] = []
  private var expectation = Expectation.value
  /// The end of the input is the end of a number.
  private var isFinal = false

  public init(limits: Limits = Limits()) { self.limits = limits }

  /// Whether a document has begun and not ended.
  public var isInsideDocument: Bool { !stack.isEmpty || position < buffer.count }

  /// Takes the next bytes of the stream.
  public mutating func feed(_ bytes: some Sequence<UInt8>) {
    dropConsumed()
    buffer.append(contentsOf: bytes)
  }

  /// The next complete document, or nil until more bytes come. After an error the stream is lost: there is no telling
  /// where the next document begins.
  public mutating func next() throws(JSONError) -> JSON? {
    while true {
      skipWhitespace()
      if stack.isEmpty, expectation == .value, values == 0 { documentStart = position }
      guard position < buffer.count else {
        try checkSize(position)
        return nil
      }
      var completed: JSON?
      guard try step(&completed) else {
        try checkSize(position + scanned)
        return nil
      }
      if let completed {
        try checkSize(position)
        values = 0
        return completed
      }
    }
  }

  /// Parses one document that fills `bytes`.
  static func parse(_ bytes: [UInt8], limits: Limits) throws(JSONError) -> JSON {
    var framer = JSONFramer(limits: limits)
    framer.buffer = bytes
    framer.isFinal = true
    guard let document = try framer.next() else {
      throw framer.error("it ends in the middle", at: bytes.count)
    }
    framer.skipWhitespace()
    framer.documentStart = 0
    guard framer.position == bytes.count else { throw framer.error("text follows the value") }
    return document
  }

  private func checkSize(_ end: Int) throws(JSONError) {
    if end - documentStart > limits.bytes {
      throw error("the document is longer than \(limits.bytes) bytes", at: end)
    }
  }

  private mutating func dropConsumed() {
    guard position > 0 else { return }
    documentStart -= position
    if position == buffer.count {
      buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 20)
    } else {
      buffer.removeSubrange(0..<position)
    }
    position = 0
  }

  private func error(_ reason: String, at index: Int? = nil) -> JSONError {
    JSONError(reason, offset: (index ?? position) - documentStart)
  }

  private mutating func skipWhitespace() {
    while position < buffer.count {
      switch buffer[position] {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      default: return
      }
    }
  }
}

// The grammar: one step consumes one token. False when the token is not complete yet.
extension JSONFramer {
  private mutating func step(_ completed: inout JSON?) throws(JSONError) -> Bool {
    let byte = buffer[position]
    switch expectation {
    case .value:
      return try value(byte, &completed)
    case .valueOrEnd:
      if byte == UInt8(ascii: "]") { return try close(&completed) }
      return try value(byte, &completed)
    case .keyOrEnd where byte == UInt8(ascii: "}"):
      return try close(&completed)
    case .key, .keyOrEnd:
      return try key(byte)
    case .colon:
      guard byte == UInt8(ascii: ":") else { throw error("expected ':' after the key") }
      position += 1
      expectation = .value
      return true
    case .commaOrEnd:
      return try commaOrEnd(byte, &completed)
    }
  }

  private mutating func value(_ byte: UInt8, _ completed: inout JSON?) throws(JSONError) -> Bool {
    switch byte {
    case UInt8(ascii: "\""):
      guard let text = try stringToken() else { return false }
      try accept(.string(text), &completed)
    case UInt8(ascii: "{"):
      try open(isObject: true)
    case UInt8(ascii: "["):
      try open(isObject: false)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
      guard let number = try numberToken() else { return false }
      try accept(number, &completed)
    case UInt8(ascii: "t"): return try literal("true", .bool(true), &completed)
    case UInt8(ascii: "f"): return try literal("false", .bool(false), &completed)
    case UInt8(ascii: "n"): return try literal("null", .null, &completed)
    default: throw error("expected a value")
    }
    return true
  }

  private mutating func key(_ byte: UInt8) throws(JSONError) -> Bool {
    guard byte == UInt8(ascii: "\"") else { throw error("expected a key in quotes") }
    guard let text = try stringToken() else { return false }
    try count()
    stack[stack.count - 1].key = text
    expectation = .colon
    return true
  }

  private mutating func commaOrEnd(_ byte: UInt8, _ completed: inout JSON?) throws(JSONError) -> Bool {
    let isObject = stack[stack.count - 1].isObject
    switch byte {
    case UInt8(ascii: ","):
      position += 1
      expectation = isObject ? .key : .value
      return true
    case isObject ? UInt8(ascii: "}") : UInt8(ascii: "]"):
      return try close(&completed)
    default:
      throw error(isObject ? "expected ',' or '}'" : "expected ',' or ']'")
    }
  }

  private mutating func open(isObject: Bool) throws(JSONError) {
    guard stack.count < limits.depth else { throw error("nested deeper than \(limits.depth) levels") }
    try count()
    stack.append(Container(isObject: isObject))
    position += 1
    expectation = isObject ? .keyOrEnd : .valueOrEnd
  }

  private mutating func close(_ completed: inout JSON?) throws(JSONError) -> Bool {
    position += 1
    let container = stack.removeLast()
    values -= 1  // counted when it was opened
    try accept(container.isObject ? .object(container.members) : .array(container.elements), &completed)
    return true
  }

  /// Puts a finished value where it belongs.
  private mutating func accept(_ value: JSON, _ completed: inout JSON?) throws(JSONError) {
    try count()
    let top = stack.count - 1
    guard top >= 0 else {
      completed = value
      expectation = .value
      return
    }
    if stack[top].isObject {
      let key = stack[top].key
      if stack[top].members.updateValue(value, forKey: key) != nil {
        throw error("the key \"\(key)\" occurs twice")
      }
    } else {
      stack[top].elements.append(value)
    }
    expectation = .commaOrEnd
  }

  private mutating func count() throws(JSONError) {
    values += 1
    if values > limits.values { throw error("more than \(limits.values) values") }
  }
}

// Tokens.
extension JSONFramer {
  private mutating func literal(
    _ word: StaticString, _ value: JSON, _ completed: inout JSON?
  ) throws(JSONError) -> Bool {
    var index = position
    for expected in word.description.utf8 {
      guard index < buffer.count else {
        if isFinal { throw error("it ends in the middle", at: index) }
        return false
      }
      guard buffer[index] == expected else { throw error("expected \(word)") }
      index += 1
    }
    position = index
    try accept(value, &completed)
    return true
  }

  /// The string whose opening quote is at `position`; nil until its closing quote has arrived.
  private mutating func stringToken() throws(JSONError) -> String? {
    let start = position + 1
    var index = max(start, position + scanned)
    if scanned == 0 { (tokenHasEscapes, tokenBits) = (false, 0) }
    while index < buffer.count {
      let byte = buffer[index]
      if byte == UInt8(ascii: "\"") {
        scanned = 0
        let text = try string(start, index)
        position = index + 1
        return text
      }
      if byte == UInt8(ascii: "\\") {
        tokenHasEscapes = true
        if index + 1 >= buffer.count { break }
        index += 2
        continue
      }
      if byte < 0x20 { throw error("a control character inside a string", at: index) }
      tokenBits |= byte
      index += 1
    }
    scanned = index - position
    if isFinal { throw error("a string that does not end") }
    return nil
  }

  private func string(_ start: Int, _ end: Int) throws(JSONError) -> String {
    // Most are ASCII, of which nothing has to be checked.
    if !tokenHasEscapes, tokenBits < 0x80 { return String(decoding: buffer[start..<end], as: UTF8.self) }
    let text =
      tokenHasEscapes
      ? String(validating: try unescaped(start, end), as: UTF8.self)
      : String(validating: buffer[start..<end], as: UTF8.self)
    guard let text else { throw error("a string that is not valid UTF-8", at: start) }
    return text
  }

  private func unescaped(_ start: Int, _ end: Int) throws(JSONError) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(end - start)
    var index = start
    while index < end {
      let byte = buffer[index]
      guard byte == UInt8(ascii: "\\") else {
        result.append(byte)
        index += 1
        continue
      }
      let kind = buffer[index + 1]  // the scan made sure that it exists
      index += 2
      switch kind {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(kind)
      case UInt8(ascii: "b"): result.append(0x08)
      case UInt8(ascii: "f"): result.append(0x0C)
      case UInt8(ascii: "n"): result.append(0x0A)
      case UInt8(ascii: "r"): result.append(0x0D)
      case UInt8(ascii: "t"): result.append(0x09)
      case UInt8(ascii: "u"):
        let scalar = try scalar(&index, end)
        result.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
      default: throw error("an unknown escape in a string", at: index - 1)
      }
    }
    return result
  }

  /// The scalar of a `\u` escape (or of a surrogate pair of them) whose digits begin at `index`.
  private func scalar(_ index: inout Int, _ end: Int) throws(JSONError) -> Unicode.Scalar {
    let first = try hexadecimal(&index, end)
    if let scalar = Unicode.Scalar(first) {
      if first == 0 { throw error("U+0000 in a string", at: index) }
      return scalar
    }
    guard first < 0xDC00, index + 1 < end, buffer[index] == UInt8(ascii: "\\"),
      buffer[index + 1] == UInt8(ascii: "u")
    else { throw error("half of a surrogate pair", at: index) }
    index += 2
    let second = try hexadecimal(&index, end)
    guard (0xDC00...0xDFFF).contains(second),
      let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    else { throw error("half of a surrogate pair", at: index) }
    return scalar
  }

  private func hexadecimal(_ index: inout Int, _ end: Int) throws(JSONError) -> UInt32 {
    guard index + 4 <= end else { throw error("\\u needs four hexadecimal digits", at: index) }
    var value: UInt32 = 0
    for byte in buffer[index..<index + 4] {
      guard let digit = hexadecimalDigit(byte) else {
        throw error("\\u needs four hexadecimal digits", at: index)
      }
      value = value << 4 | UInt32(digit)
    }
    index += 4
    return value
  }

  /// The number at `position`; nil until the byte after it has arrived.
  private mutating func numberToken() throws(JSONError) -> JSON? {
    var index = position + scanned
    scan: while index < buffer.count {
      switch buffer[index] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
        UInt8(ascii: "e"), UInt8(ascii: "E"):
        index += 1
      default: break scan
      }
    }
    if index - position > 1024 { throw error("a number of more than 1024 characters") }
    if index == buffer.count, !isFinal {
      scanned = index - position
      return nil
    }
    scanned = 0
    let number = try number(buffer[position..<index])
    position = index
    return number
  }

  private func number(_ digits: ArraySlice<UInt8>) throws(JSONError) -> JSON {
    guard let isReal = JSONNumber.isReal(digits) else { throw error("a malformed number") }
    if !isReal {
      guard let value = JSONNumber.integer(digits) else { throw error("an integer beyond 64 bits") }
      return .integer(value)
    }
    guard let value = Double(String(decoding: digits, as: UTF8.self)), value.isFinite else {
      throw error("a number beyond the range of a real")
    }
    return .real(value)
  }
}

private func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}

extension JSON {
  /// Parses a whole document.
  public init(parsing bytes: [UInt8], limits: JSONFramer.Limits = .init()) throws(JSONError) {
    self = try JSONFramer.parse(bytes, limits: limits)
  }

  /// Parses a whole document.
  public init(parsing text: String, limits: JSONFramer.Limits = .init()) throws(JSONError) {
    self = try JSONFramer.parse(Array(text.utf8), limits: limits)
  }
}
