import FoundationEssentials
import Testing

@testable import schema_rows

/// What the generator makes of schemas that etc/vswitch.ovsschema is no example of, yet.
@Suite struct GeneratorTests {
  @Test func `Names are written in Swift's style`() {
    #expect(SwiftName.type("Open_vSwitch") == "OpenVSwitch" && SwiftName.type("sFlow") == "SFlow")
    #expect(SwiftName.member("mac_in_use") == "macInUse" && SwiftName.member("in-band") == "inBand")
    #expect(SwiftName.member("default") == "`default`" && SwiftName.member("802.1q") == "_8021q")
    #expect(SwiftName.member("") == "_")
  }

  @Test(arguments: [
    (#""real""#, "Double"), (#""uuid""#, "UUID"),
    (#"{"key": "real", "min": 0}"#, "Double?"),
    (#"{"key": "uuid", "min": 0, "max": 7}"#, "[UUID]"),
    (#"{"key": "uuid", "value": "real", "max": 2}"#, "[UUID: Double]"),
    (#"{"key": "string", "value": "boolean"}"#, "[String: Bool]"),
    (#"{"key": {"type": "uuid", "refTable": "T"}}"#, "RowReference<TRow>"),
    (#"{"key": {"type": "string", "enum": "only"}}"#, "TypeChoice"),
    (#"{"key": {"type": "integer", "enum": ["set", [1, 2]]}}"#, "Int64"),
  ])
  func `A column's type follows from the schema's`(_ type: String, _ swift: String) throws {
    let text = try generate(#"{"type": {"type": \#(type)}}"#)
    #expect(text.contains("  public var type: \(swift) {\n"))
  }

  @Test func `The documentation says what the type does not`() throws {
    let text = try generate(
      #"""
      {"a": {"type": {"key": {"type": "integer", "maxInteger": 9}, "max": 3}, "ephemeral": true},
       "b": {"type": {"key": "string", "value": {"type": "uuid", "refTable": "T", "refType": "weak"}},
             "mutable": false}}
      """#)
    #expect(text.contains("/// `a`, up to 9, at most 3, at least 1, not kept on disk.\n"))
    #expect(text.contains("/// `b`, weak, set by an insert only.\n"))
  }

  @Test(arguments: [
    #"{"a_b": {"type": "string"}, "a-b": {"type": "string"}}"#, #"{"uuid": {"type": "string"}}"#,
    #"{"c": {"type": {"key": {"type": "string", "enum": ["set", ["a b", "a-b"]]}}}}"#,
    #"{"c": {"type": {"key": {"type": "string", "enum": ["set", ["unknown"]]}}}}"#,
  ])
  func `Two names that would be one in Swift are refused`(_ columns: String) {
    let error = #expect(throws: GeneratorError.self) { try generate(columns) }
    #expect(error?.description.contains("in Swift, which something else is already") == true)
  }

  @Test(arguments: [
    #"{"c": {}}"#, #"{"c": {"type": "int"}}"#, #"{"c": {"type": {"key": "string", "max": "no"}}}"#,
  ])
  func `A schema that makes no sense is refused`(_ columns: String) {
    #expect(throws: DecodingError.self) { try generate(columns) }
  }

  private func generate(_ columns: String) throws -> String {
    let text = #"{"name": "D", "version": "1.0.0", "tables": {"T": {"columns": \#(columns)}}}"#
    return try SwiftFile(try Schema(Data(text.utf8))).text
  }
}
