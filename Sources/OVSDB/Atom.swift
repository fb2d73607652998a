import JSONRPC

/// The types of atoms (RFC 7047 §3.1, `<atomic-type>`).
public enum AtomType: String, Sendable, CaseIterable {
  case integer, real, boolean, string, uuid

  /// The value a column has when nothing was written.
  public var defaultAtom: Atom {
    switch self {
    case .integer: .integer(0)
    case .real: .real(0)
    case .boolean: .boolean(false)
    case .string: .string("")
    case .uuid: .uuid(.zero)
    }
  }
}

/// One scalar value of a column (RFC 7047 §5.1, `<atom>`).
public enum Atom: Hashable, Sendable {
  case integer(Int64)
  /// Always finite; -0 equals 0.
  case real(Double)
  case boolean(Bool)
  case string(String)
  case uuid(UUID)

  public var type: AtomType {
    switch self {
    case .integer: .integer
    case .real: .real
    case .boolean: .boolean
    case .string: .string
    case .uuid: .uuid
    }
  }

  /// Reads an atom of `type`. `names` resolves `["named-uuid", NAME]`.
  public init(_ json: JSON, _ type: AtomType, names: NamedUUIDs? = nil) throws(OVSDBError) {
    switch (type, json) {
    case (.string, .string(let value)): self = .string(value)
    case (.boolean, .bool(let value)): self = .boolean(value)
    case (.integer, .integer(let value)): self = .integer(value)
    case (.integer, .real(let value)):
      guard let value = Int64(exactly: value) else { throw .syntax("expected an integer, not \(json)") }
      self = .integer(value)
    case (.real, .real(let value)): self = .real(value)
    case (.real, .integer(let value)): self = .real(Double(value))
    case (.uuid, .array(let parts)): self = .uuid(try Self.uuid(parts, names))
    default:
      let wanted = type == .uuid ? "[\"uuid\", UUID] or [\"named-uuid\", NAME]" : type.rawValue
      throw .syntax("expected \(wanted), not \(json.excerpt)")
    }
  }

  private static func uuid(_ parts: [JSON], _ names: NamedUUIDs?) throws(OVSDBError) -> UUID {
    guard parts.count == 2, case .string(let tag) = parts[0], case .string(let text) = parts[1] else {
      throw .syntax("expected [\"uuid\", UUID], not \(JSON.array(parts).excerpt)")
    }
    switch tag {
    case "uuid":
      guard let uuid = UUID(text) else { throw .syntax("\"\(text)\" is not a UUID") }
      return uuid
    case "named-uuid":
      guard let names else { throw .syntax("a named-uuid has no meaning here") }
      guard let uuid = names[text] else {
        throw .syntax("no insert in this transaction has the uuid-name \"\(text)\"")
      }
      return uuid
    default:
      throw .syntax("expected [\"uuid\", UUID], not \(JSON.array(parts).excerpt)")
    }
  }

  /// A real without a fraction is written as an integer, as peers do.
  public var json: JSON {
    switch self {
    case .integer(let value): .integer(value)
    case .real(let value): Int64(exactly: value).map { .integer($0) } ?? .real(value)
    case .boolean(let value): .bool(value)
    case .string(let value): .string(value)
    case .uuid(let value): ["uuid", .string(value.description)]
    }
  }
}

extension Atom: Comparable {
  /// The order inside a set. Atoms of different types are ordered by type, so that the order is total.
  public static func < (a: Atom, b: Atom) -> Bool {
    switch (a, b) {
    case (.integer(let a), .integer(let b)): a < b
    case (.real(let a), .real(let b)): a < b
    case (.boolean(let a), .boolean(let b)): !a && b
    case (.string(let a), .string(let b)): a < b
    case (.uuid(let a), .uuid(let b)): a < b
    default: a.type.rank < b.type.rank
    }
  }
}

extension Atom: CustomStringConvertible {
  /// As a person writes it, strings in quotes.
  public var description: String {
    switch self {
    case .uuid(let value): value.description
    default: json.text
    }
  }
}

extension AtomType {
  fileprivate var rank: Int {
    switch self {
    case .integer: 0
    case .real: 1
    case .boolean: 2
    case .string: 3
    case .uuid: 4
    }
  }
}

/// What `["named-uuid", NAME]` stands for inside one transaction; a name may be used before its insert.
public typealias NamedUUIDs = [String: UUID]

extension JSON {
  /// The text, cut where it would make an error message unreadable.
  var excerpt: String {
    let text = self.text
    return text.utf8.count <= 80 ? text : String(text.prefix(77)) + "..."
  }
}
