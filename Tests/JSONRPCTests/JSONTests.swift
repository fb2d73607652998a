import Seeded
import JSONRPC
import Testing

@Suite struct JSONTests {
  @Test(
    arguments: [
      ("null", JSON.null), ("true", true), ("false", false), ("0", 0), ("-0", 0), ("42", 42),
      ("-9223372036854775808", .integer(.min)), ("9223372036854775807", .integer(.max)),
      ("1.5", 1.5), ("1e3", 1000.0), ("-2.5E-1", -0.25), (#""""#, ""),
      (#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{c}\n\r\t"),
      (#""\u00e9\uD83D\uDE00""#, "é😀"), ("\"é😀\"", "é😀"), (" [ ] ", []), ("{}", [:]),
      (#"[1,"a",{"b":[null]}]"#, [1, "a", ["b": [nil]]]),
    ] as [(String, JSON)])
  func parses(text: String, value: JSON) throws {
    #expect(try JSON(parsing: text) == value)
    #expect(try JSON(parsing: value.text) == value)
  }

  @Test(arguments: [
    "", " ", "tru", "nul1", "[", "[1", "[1,", "[1,]", "[,]", "{", #"{"a"#, #"{"a""#, #"{"a":"#, #"{"a":1"#,
    #"{"a":1,"#,
    #"{"a":1,}"#, #"{"a":1,"a":2}"#, "{1:2}", "[1}", "{]", "1 2", "01", "-", "1.", ".5", "1e", "1e+", "+1",
    "--1", "0x1",
    "9223372036854775808", "-9223372036854775809", "1e999", "NaN", "'a'", #"""#, #""\x""#, #""\u12""#,
    #""\u12g4""#,
    #""\uD800""#, #""\uD800\u0041""#, #""\uDC00""#, #""\u0000""#, "\"\u{1}\"", "\"a\nb\"", "[\"]", #""\"#,
  ])
  func refuses(text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
  }

  @Test(
    arguments: [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82]] as [[UInt8]]
  )
  func refusesInvalidUTF8(bytes: [UInt8]) {
    #expect(throws: JSONError.self) { try JSON(parsing: [0x22] + bytes + [0x22]) }
  }

  @Test func errorsSayWhereAndWhat() {
    #expect(throws: JSONError("expected a value", offset: 4)) { try JSON(parsing: "[1, x]") }
    #expect(throws: JSONError("the key \"a\" occurs twice", offset: 13)) {
      try JSON(parsing: #"{"a": 1,"a":2}"#)
    }
  }

  @Test func sameValueSameText() {
    let value: JSON = ["b": 1, "a": [true, nil, 1.5], "c": "x\"\u{1}"]
    #expect(value.text == #"{"a":[true,null,1.5],"b":1,"c":"x\"\u0001"}"#)
  }

  @Test func depthIsLimited() throws {
    let limits = JSONFramer.Limits(depth: 10)
    let ten = String(repeating: "[", count: 10) + String(repeating: "]", count: 10)
    #expect(throws: Never.self) { try JSON(parsing: ten, limits: limits) }
    #expect(throws: JSONError.self) { try JSON(parsing: "[\(ten)]", limits: limits) }
    #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
  }

  @Test func randomValuesSurviveTheirText() throws {
    var random = SeededRandom(seed: 1)
    for _ in 0..<2000 {
      let value = random.json(depth: 4)
      #expect(try JSON(parsing: value.bytes) == value)
    }
  }
}

@Suite struct JSONFramerTests {
  static let stream = #"{"a":[1,-2.5e3,"\u00e9\\ü"]} [true,null]{"b":{"c":"\"}"}}[]"#
  static let documents: [JSON] = [["a": [1, -2500.0, "é\\ü"]], [true, nil], ["b": ["c": "\"}"]], []]

  private func documents(_ framer: inout JSONFramer) throws -> [JSON] {
    var result: [JSON] = []
    while let document = try framer.next() { result.append(document) }
    return result
  }

  @Test func splitsAConcatenatedStreamHoweverItIsCut() throws {
    let bytes = Array(Self.stream.utf8)
    for size in 1...bytes.count {
      var framer = JSONFramer()
      var found: [JSON] = []
      for start in stride(from: 0, to: bytes.count, by: size) {
        framer.feed(bytes[start..<min(bytes.count, start + size)])
        found += try documents(&framer)
      }
      #expect(found == Self.documents, "cut into pieces of \(size)")
      #expect(!framer.isInsideDocument)
    }
  }

  @Test func aDocumentIsAvailableWithItsLastByte() throws {
    var framer = JSONFramer()
    for byte in Self.stream.utf8.dropLast() { framer.feed([byte]) }
    #expect(try documents(&framer).count == Self.documents.count - 1)
    #expect(framer.isInsideDocument)
    framer.feed("]".utf8)
    #expect(try documents(&framer) == [[]])
  }

  @Test(arguments: [
    #"["aaaaaaaaaaaaaaaaaaaaaaaaa"#, "[1,1,1,1,1,1,1,1,1,1,1,1,1,1", "[11111111111111111111111111",
    "[                          ",
  ])
  func aMessageThatGrowsTooLongIsRefusedBeforeItEnds(start: String) throws {
    var framer = JSONFramer(limits: .init(bytes: 20))
    framer.feed(start.utf8)
    #expect(throws: JSONError.self) { try framer.next() }
  }

  @Test func theSizeLimitIsPerDocument() throws {
    var framer = JSONFramer(limits: .init(bytes: 20))
    for _ in 0..<100 {
      framer.feed("[\"0123456789\"]".utf8)
      #expect(try framer.next() == ["0123456789"])
    }
  }

  @Test func theNumberOfValuesIsLimited() throws {
    var framer = JSONFramer(limits: .init(values: 10))
    for _ in 0..<3 {
      framer.feed("[0,0,0,0,0,0,0,0,0]".utf8)
      #expect(try framer.next() != nil)
    }
    framer.feed("[0,0,0,0,0,0,0,0,0,0]".utf8)
    #expect(throws: JSONError.self) { try framer.next() }
  }
}

/// A small, seeded generator: a failure can be repeated.
extension SeededRandom {
  mutating func json(depth: Int) -> JSON {
    switch Int.random(in: 0..<(depth == 0 ? 5 : 7), using: &self) {
    case 0: return .null
    case 1: return .bool(.random(using: &self))
    case 2: return .integer(Int64(bitPattern: next()) >> Int64.random(in: 0..<64, using: &self))
    case 3: return .real(Double.random(in: -1e10...1e10, using: &self))
    case 4: return .string(string())
    case 5:
      return .array((0..<Int.random(in: 0..<5, using: &self)).map { _ in json(depth: depth - 1) })
    default:
      var members: [String: JSON] = [:]
      for _ in 0..<Int.random(in: 0..<5, using: &self) { members[string()] = json(depth: depth - 1) }
      return .object(members)
    }
  }

  mutating func string() -> String {
    let alphabet: [Character] = [
      "a", "Z", "\"", "\\", "/", "\n", "\u{1}", "é", "€", "😀", "\u{7F}", " ", "{", "]",
    ]
    return String(
      (0..<Int.random(in: 0..<8, using: &self)).map { _ in alphabet.randomElement(using: &self)! })
  }
}
