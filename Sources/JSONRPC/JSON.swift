/// A JSON value (RFC 8259). Integers and reals stay distinct, because OVSDB columns are typed.
public enum JSON: Equatable, Hashable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  /// Always finite.
  case real(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])
}

extension JSON {
  public var isNull: Bool { self == .null }

  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// An integer, also when it was written as a real without a fraction (`1.0`, `1e3`).
  public var integer: Int64? {
    switch self {
    case .integer(let value): value
    case .real(let value): Int64(exactly: value)
    default: nil
    }
  }

  /// Any number.
  public var real: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .real(let value): value
    default: nil
    }
  }

  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }

  public var array: [JSON]? {
    if case .array(let value) = self { value } else { nil }
  }

  public var object: [String: JSON]? {
    if case .object(let value) = self { value } else { nil }
  }

  /// The member `key` of an object; nil for anything else.
  public subscript(key: String) -> JSON? { object?[key] }

  /// The element at `index` of an array; nil for anything else, and out of range.
  public subscript(index: Int) -> JSON? {
    guard let array, array.indices.contains(index) else { return nil }
    return array[index]
  }

  /// What the value is, for error messages: "string", "array", …
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .integer: "integer"
    case .real: "real"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .real(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  /// Of two equal keys the last one counts.
  public init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object([String: JSON](elements, uniquingKeysWith: { $1 }))
  }
}

extension JSON: CustomStringConvertible {
  public var description: String { text }
}

/// Why bytes are not acceptable JSON, and where.
public struct JSONError: Error, Equatable, CustomStringConvertible {
  public let reason: String
  /// Bytes from the start of the document.
  public let offset: Int

  public init(_ reason: String, offset: Int) {
    self.reason = reason
    self.offset = offset
  }

  public var description: String { "invalid JSON at byte \(offset): \(reason)" }
}
