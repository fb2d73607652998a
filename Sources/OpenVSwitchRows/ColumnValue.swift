import OVSDB

/// A Swift type for what a column holds: an atom, an optional one, an array (a set, ascending) or a dictionary (a map).
///
/// Reading never fails. Atoms of a type that the schema here does not have in the column are left out.
public protocol ColumnValue {
  init(_ datum: Datum)
  var datum: Datum { get }
}

/// A Swift type for an atom.
public protocol AtomValue: ColumnValue, Hashable, Sendable {
  /// What a column of exactly one atom reads as when there is none.
  static var absent: Self { get }
  init?(_ atom: Atom)
  var atom: Atom { get }
}

extension AtomValue {
  public init(_ datum: Datum) { self = datum.keys.first.flatMap(Self.init) ?? .absent }
  public var datum: Datum { Datum(atom) }
}

extension Optional: ColumnValue where Wrapped: AtomValue {
  public init(_ datum: Datum) { self = datum.keys.first.flatMap(Wrapped.init) }
  public var datum: Datum { map(\.datum) ?? .empty }
}

extension Array: ColumnValue where Element: AtomValue {
  public init(_ datum: Datum) { self = datum.keys.compactMap(Element.init) }
  public var datum: Datum { Datum(map(\.atom)) }
}

extension Dictionary: ColumnValue where Key: AtomValue, Value: AtomValue {
  public init(_ datum: Datum) {
    self.init(minimumCapacity: datum.count)
    for (key, value) in zip(datum.keys, datum.values) {
      if let key = Key(key), let value = Value(value) { self[key] = value }
    }
  }
  public var datum: Datum { Datum(map: map { ($0.key.atom, $0.value.atom) }) }
}

extension Int64: AtomValue {
  public static var absent: Int64 { 0 }
  public init?(_ atom: Atom) { if case .integer(let value) = atom { self = value } else { return nil } }
  public var atom: Atom { .integer(self) }
}

/// A column holds finite ones only; another is written as 0.
extension Double: AtomValue {
  public static var absent: Double { 0 }
  public init?(_ atom: Atom) { if case .real(let value) = atom { self = value } else { return nil } }
  public var atom: Atom { .real(isFinite ? self : 0) }
}

extension Bool: AtomValue {
  public static var absent: Bool { false }
  public init?(_ atom: Atom) { if case .boolean(let value) = atom { self = value } else { return nil } }
  public var atom: Atom { .boolean(self) }
}

extension String: AtomValue {
  public static var absent: String { "" }
  public init?(_ atom: Atom) { if case .string(let value) = atom { self = value } else { return nil } }
  public var atom: Atom { .string(self) }
}

extension UUID: AtomValue {
  public static var absent: UUID { .zero }
  public init?(_ atom: Atom) { if case .uuid(let value) = atom { self = value } else { return nil } }
  public var atom: Atom { .uuid(self) }
}

extension RowReference: AtomValue {
  public static var absent: Self { Self(.zero) }
  public init?(_ atom: Atom) { if case .uuid(let value) = atom { self.init(value) } else { return nil } }
  public var atom: Atom { .uuid(uuid) }
}

/// One of the strings that the schema allows in a column, or another one, from a server whose schema allows it.
public protocol StringChoice: AtomValue {
  init(_ text: String)
  var text: String { get }
}

extension StringChoice {
  public static var absent: Self { Self("") }
  public init?(_ atom: Atom) { if case .string(let text) = atom { self.init(text) } else { return nil } }
  public var atom: Atom { .string(text) }
}
