import JSONRPC

/// What a column holds: a set of `key`, or a map from `key` to `value`, of `minimum` to `maximum` elements
/// (RFC 7047 §3.2, `<type>`).
public struct ColumnType: Hashable, Sendable {
  public var key: BaseType
  public var value: BaseType?
  /// 0 or 1.
  public var minimum = 1
  /// Nil: unlimited.
  public var maximum: Int? = 1

  public init(key: BaseType, value: BaseType? = nil) {
    self.key = key
    self.value = value
  }

  /// A type that holds any number of elements, for operands of mutations and conditions.
  var anyCount: ColumnType {
    var type = self
    type.minimum = 0
    type.maximum = nil
    return type
  }

  /// Exactly one atom.
  public var isScalar: Bool { value == nil && minimum == 1 && maximum == 1 }
  /// One atom or none.
  public var isOptionalScalar: Bool { value == nil && minimum == 0 && maximum == 1 }
  public var isMap: Bool { value != nil }
  /// More than one element is possible, so changes travel as differences.
  public var isPlural: Bool { maximum != 1 }

  public var hasReferences: Bool { key.referenceTable != nil || value?.referenceTable != nil }

  /// What a column holds when nothing was written.
  public var defaultDatum: Datum {
    guard minimum > 0 else { return .empty }
    if let value { return Datum(map: [(key.type.defaultAtom, value.type.defaultAtom)]) }
    return Datum(key.type.defaultAtom)
  }

  /// Throws a constraint violation unless `datum` has an allowed number of allowed atoms.
  public func check(_ datum: Datum) throws(OVSDBError) {
    guard allows(count: datum.count) else {
      throw .constraint("\(wantedCount) needed, \(datum.count) there")
    }
    try checkAtoms(datum)
  }

  func checkAtoms(_ datum: Datum) throws(OVSDBError) {
    for key in datum.keys { try self.key.check(key) }
    if let value { for atom in datum.values { try value.check(atom) } }
  }

  /// Whether a column may hold so many elements.
  func allows(count: Int) -> Bool { count >= minimum && count <= maximum ?? .max }

  /// "exactly one element", "0 to 3 pairs", "at least 1 element".
  var wantedCount: String {
    let what = isMap ? "pair" : "element"
    switch (minimum, maximum) {
    case (1, 1): return "exactly one \(what)"
    case (_, nil): return "at least \(minimum) \(what)s"
    case (_, let maximum?): return "\(minimum) to \(maximum) \(what)s"
    }
  }

  /// Reads a schema's `<type>`.
  public init(_ json: JSON) throws(OVSDBError) {
    if case .string = json {
      self.init(key: try BaseType(json))
      return
    }
    let object = try SchemaObject(json, "a column type")
    guard let key = object["key"] else { throw .syntax("a column type needs a \"key\"") }
    self.init(key: try BaseType(key), value: nil)
    if let value = object["value"] { self.value = try BaseType(value) }
    if let minimum = try object.optionalInteger("min") {
      guard minimum == 0 || minimum == 1 else { throw .syntax("min must be 0 or 1, not \(minimum)") }
      self.minimum = Int(minimum)
    }
    if let maximum = object["max"] {
      if maximum == "unlimited" {
        self.maximum = nil
      } else if let number = maximum.integer, number >= 1 {
        self.maximum = Int(number)
      } else {
        throw .syntax("max must be at least 1, or \"unlimited\", not \(maximum)")
      }
    }
  }

  public var json: JSON {
    if isScalar { if case .string(let name) = key.json { return .string(name) } }
    var object: [String: JSON] = ["key": key.json]
    if let value { object["value"] = value.json }
    if minimum != 1 { object["min"] = .integer(Int64(minimum)) }
    if maximum != 1 { object["max"] = maximum.map { .integer(Int64($0)) } ?? "unlimited" }
    return .object(object)
  }
}
