import JSONRPC

/// The type of a column's keys or values, with its constraints (RFC 7047 §3.2, `<base-type>`).
public struct BaseType: Hashable, Sendable {
  public enum ReferenceKind: String, Sendable { case strong, weak }

  public var type: AtomType
  /// The only atoms allowed, when not nil.
  public var enumeration: Datum?
  public var minimumInteger: Int64?
  public var maximumInteger: Int64?
  public var minimumReal: Double?
  public var maximumReal: Double?
  /// In characters (Unicode scalars).
  public var minimumLength: Int?
  public var maximumLength: Int?
  /// The table whose rows the UUIDs name.
  public var referenceTable: String?
  public var referenceKind = ReferenceKind.strong

  public init(_ type: AtomType) { self.type = type }

  /// Throws a constraint violation unless `atom` is allowed.
  public func check(_ atom: Atom) throws(OVSDBError) {
    if let enumeration, !enumeration.contains(atom) {
      let allowed = enumeration.keys.map(\.description).joined(separator: ", ")
      throw .constraint("\(atom) is not one of the allowed values (\(allowed))")
    }
    switch atom {
    case .integer(let value):
      try checkRange(value, minimumInteger, maximumInteger)
    case .real(let value):
      try checkRange(value, minimumReal, maximumReal)
    case .string(let value):
      guard minimumLength != nil || maximumLength != nil else { return }
      let length = value.unicodeScalars.count
      if let minimumLength, length < minimumLength {
        throw .constraint("\(atom) is shorter than the minimum of \(minimumLength) characters")
      }
      if let maximumLength, length > maximumLength {
        throw .constraint("a string of \(length) characters is longer than the maximum of \(maximumLength)")
      }
    case .boolean, .uuid: break
    }
  }

  private func checkRange<Value: Comparable>(
    _ value: Value, _ minimum: Value?, _ maximum: Value?
  ) throws(OVSDBError) {
    if let minimum, value < minimum {
      let range = maximum.map { "in the range \(minimum) to \($0)" } ?? "at least \(minimum)"
      throw .constraint("\(value) is not \(range)")
    }
    if let maximum, value > maximum {
      let range = minimum.map { "in the range \($0) to \(maximum)" } ?? "at most \(maximum)"
      throw .constraint("\(value) is not \(range)")
    }
  }

  public var isStrongReference: Bool { referenceTable != nil && referenceKind == .strong }
  public var isWeakReference: Bool { referenceTable != nil && referenceKind == .weak }

  /// Reads a schema's `<base-type>`.
  public init(_ json: JSON) throws(OVSDBError) {
    if case .string(let name) = json {
      self.init(try Self.type(name))
      return
    }
    let object = try SchemaObject(json, "a base type")
    self.init(try Self.type(try object.string("type")))
    if let allowed = object["enum"] {
      var set = ColumnType(key: BaseType(type))
      set.minimum = 1
      set.maximum = nil
      enumeration = try Datum(allowed, set)
    }
    minimumInteger = try object.optionalInteger("minInteger")
    maximumInteger = try object.optionalInteger("maxInteger")
    minimumReal = object["minReal"]?.real
    maximumReal = object["maxReal"]?.real
    minimumLength = try object.optionalInteger("minLength").map(Int.init)
    maximumLength = try object.optionalInteger("maxLength").map(Int.init)
    referenceTable = try object.optionalString("refTable")
    if let kind = try object.optionalString("refType") {
      guard let kind = ReferenceKind(rawValue: kind) else {
        throw .syntax("refType must be \"strong\" or \"weak\", not \"\(kind)\"")
      }
      referenceKind = kind
    }
    if referenceTable != nil, type != .uuid { throw .syntax("refTable goes with the type uuid only") }
    if let low = minimumInteger, let high = maximumInteger, low > high {
      throw .syntax("minInteger \(low) exceeds maxInteger \(high)")
    }
    if let low = minimumReal, let high = maximumReal, low > high {
      throw .syntax("minReal \(low) exceeds maxReal \(high)")
    }
    if let low = minimumLength, let high = maximumLength, low > high {
      throw .syntax("minLength \(low) exceeds maxLength \(high)")
    }
  }

  private static func type(_ name: String) throws(OVSDBError) -> AtomType {
    guard let type = AtomType(rawValue: name) else { throw .syntax("\"\(name)\" is not an atomic type") }
    return type
  }

  /// The schema text: the bare type name when there is no constraint.
  public var json: JSON {
    var object: [String: JSON] = [:]
    if let enumeration { object["enum"] = ["set", .array(enumeration.keys.map(\.json))] }
    if let minimumInteger { object["minInteger"] = .integer(minimumInteger) }
    if let maximumInteger { object["maxInteger"] = .integer(maximumInteger) }
    if let minimumReal { object["minReal"] = .real(minimumReal) }
    if let maximumReal { object["maxReal"] = .real(maximumReal) }
    if let minimumLength { object["minLength"] = .integer(Int64(minimumLength)) }
    if let maximumLength { object["maxLength"] = .integer(Int64(maximumLength)) }
    if let referenceTable {
      object["refTable"] = .string(referenceTable)
      if referenceKind == .weak { object["refType"] = "weak" }
    }
    if object.isEmpty { return .string(type.rawValue) }
    object["type"] = .string(type.rawValue)
    return .object(object)
  }
}
