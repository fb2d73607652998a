import FoundationEssentials

/// What the generator needs of a database schema (RFC 7047 §3.2).
///
/// It reads the JSON itself instead of importing OVSDB, which would then be compiled twice: for the build, and for the
/// product. That both see the same tables and columns is tested.
struct Schema: Decodable {
  let name: String
  let version: String
  let tables: [String: Table]

  init(_ text: Data) throws { self = try JSONDecoder().decode(Schema.self, from: text) }

  struct Table: Decodable {
    let columns: [String: Column]
  }

  struct Column: Decodable {
    let type: ColumnType
    let ephemeral: Bool?
    let mutable: Bool?
  }

  /// `key` and `value` of at least `minimum` and at most `maximum` elements; nil: any number.
  struct ColumnType: Decodable {
    var key: BaseType
    var value: BaseType?
    var minimum = 1
    var maximum: Int? = 1

    private enum Member: String, CodingKey { case key, value, min, max }

    init(from decoder: any Decoder) throws {
      // "integer" stands for {"key": "integer"}.
      if (try? decoder.singleValueContainer().decode(String.self)) != nil {
        key = try BaseType(from: decoder)
        return
      }
      let object = try decoder.container(keyedBy: Member.self)
      key = try object.decode(BaseType.self, forKey: .key)
      value = try object.decodeIfPresent(BaseType.self, forKey: .value)
      minimum = try object.decodeIfPresent(Int.self, forKey: .min) ?? 1
      guard object.contains(.max) else { return }
      maximum = try? object.decode(Int.self, forKey: .max)
      if maximum == nil { _ = try object.decode(Unlimited.self, forKey: .max) }
    }
  }

  private enum Unlimited: String, Decodable { case unlimited }

  struct BaseType: Decodable {
    enum Atom: String, Decodable { case integer, real, boolean, string, uuid }

    let type: Atom
    /// The only strings allowed, when not empty.
    var choices: [String] = []
    var minimum: Int64?
    var maximum: Int64?
    /// The table whose rows the UUIDs name.
    var table: String?
    var isWeak = false

    private enum Member: String, CodingKey {
      case type, choices = "enum", minInteger, maxInteger, refTable, refType
    }

    init(from decoder: any Decoder) throws {
      if let type = try? decoder.singleValueContainer().decode(Atom.self) {
        self.type = type
        return
      }
      let object = try decoder.container(keyedBy: Member.self)
      type = try object.decode(Atom.self, forKey: .type)
      if type == .string, object.contains(.choices) { choices = try Self.strings(object) }
      minimum = try object.decodeIfPresent(Int64.self, forKey: .minInteger)
      maximum = try object.decodeIfPresent(Int64.self, forKey: .maxInteger)
      table = try object.decodeIfPresent(String.self, forKey: .refTable)
      isWeak = try object.decodeIfPresent(String.self, forKey: .refType) == "weak"
    }

    /// `["set", [A, B, …]]`, or one string.
    private static func strings(_ object: KeyedDecodingContainer<Member>) throws -> [String] {
      if let only = try? object.decode(String.self, forKey: .choices) { return [only] }
      var pair = try object.nestedUnkeyedContainer(forKey: .choices)
      _ = try pair.decode(String.self)
      return try pair.decode([String].self).sorted()
    }
  }
}
