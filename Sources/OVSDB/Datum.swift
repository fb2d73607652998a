import JSONRPC

/// A column's value: a set of atoms, or a map from atoms to atoms (RFC 7047 §5.1, `<value>`).
///
/// Kept sorted by key and without duplicates, so that equal values are equal arrays and set operations are merges.
/// A scalar is a set of one, an absent optional a set of none.
public struct Datum: Hashable, Sendable {
  /// The set's elements, or the map's keys, ascending.
  public private(set) var keys: [Atom]
  /// The map's values, parallel to `keys`; empty for a set.
  public private(set) var values: [Atom]

  public static let empty = Datum(sortedKeys: [], values: [])

  /// A set.
  public init(_ elements: [Atom]) {
    keys = elements.count < 2 ? elements : Self.sortedUnique(elements)
    values = []
  }

  /// A set of one.
  public init(_ element: Atom) {
    keys = [element]
    values = []
  }

  /// A map. Of two equal keys the first one counts.
  public init(map pairs: [(Atom, Atom)]) {
    keys = []
    values = []
    keys.reserveCapacity(pairs.count)
    values.reserveCapacity(pairs.count)
    // Stable, so that "first" means something.
    for (_, pair) in pairs.enumerated().sorted(by: { ($0.element.0, $0.offset) < ($1.element.0, $1.offset) })
    where keys.last != pair.0 {
      keys.append(pair.0)
      values.append(pair.1)
    }
  }

  init(sortedKeys: [Atom], values: [Atom]) {
    keys = sortedKeys
    self.values = values
  }

  private static func sortedUnique(_ atoms: [Atom]) -> [Atom] {
    var result: [Atom] = []
    result.reserveCapacity(atoms.count)
    for atom in atoms.sorted() where result.last != atom { result.append(atom) }
    return result
  }

  public var count: Int { keys.count }
  public var isEmpty: Bool { keys.isEmpty }

  /// The only element of a one-element set.
  public var scalar: Atom? { keys.count == 1 && values.isEmpty ? keys[0] : nil }

  /// Where `key` is in `keys`.
  public func index(of key: Atom) -> Int? {
    let index = lowerBound(key)
    return index < keys.count && keys[index] == key ? index : nil
  }

  public func contains(_ key: Atom) -> Bool { index(of: key) != nil }

  /// A map's value.
  public subscript(key: Atom) -> Atom? {
    guard let index = index(of: key), index < values.count else { return nil }
    return values[index]
  }

  private func lowerBound(_ key: Atom) -> Int {
    var low = 0
    var high = keys.count
    while low < high {
      let middle = (low + high) / 2
      if keys[middle] < key { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

// Convenience for code that reads and writes rows.
extension Datum {
  public var strings: [String] {
    keys.compactMap { if case .string(let text) = $0 { text } else { nil } }
  }
  public var string: String? { strings.first }
  public var integers: [Int64] {
    keys.compactMap { if case .integer(let number) = $0 { number } else { nil } }
  }
  public var integer: Int64? { integers.first }
  public var uuids: [UUID] { keys.compactMap { if case .uuid(let uuid) = $0 { uuid } else { nil } } }
  public var uuid: UUID? { uuids.first }
  public var bool: Bool? { if case .boolean(let value)? = keys.first { value } else { nil } }
  public var real: Double? { if case .real(let value)? = keys.first { value } else { nil } }

  /// A map of strings to strings.
  public var stringMap: [String: String] {
    var result: [String: String] = [:]
    for (key, value) in zip(keys, values) {
      if case .string(let key) = key, case .string(let value) = value { result[key] = value }
    }
    return result
  }

  /// A map of integers to rows.
  public var uuidsByInteger: [Int64: UUID] {
    var result: [Int64: UUID] = [:]
    for (key, value) in zip(keys, values) {
      if case .integer(let key) = key, case .uuid(let value) = value { result[key] = value }
    }
    return result
  }

  public init(_ map: [String: String]) { self.init(map: map.map { (.string($0.key), .string($0.value)) }) }
  public init(strings: [String]) { self.init(strings.map(Atom.string)) }
  public init(uuids: [UUID]) { self.init(uuids.map(Atom.uuid)) }
  public init(_ value: String) { self.init(.string(value)) }
  public init(_ value: Int64) { self.init(.integer(value)) }
  public init(_ value: Bool) { self.init(.boolean(value)) }
}

// Set algebra: the mutators, conditions and differences are made of these.
extension Datum {
  /// Elements (maps: keys) of `other` added; a map keeps the value it has for a key.
  public func inserting(_ other: Datum) -> Datum {
    merge(other) { mine, theirs in mine ?? theirs }
  }

  /// Elements of `other` removed. A map loses the pairs of the map `other`, or the keys of the set `other`.
  public func removing(_ other: Datum) -> Datum {
    let byPair = !other.values.isEmpty
    return merge(other) { mine, theirs in
      guard let mine else { return nil }
      guard let theirs else { return mine }
      return byPair && mine.value != theirs.value ? mine : nil
    }
  }

  /// Whether every element (maps: pair) of `other` is here.
  public func includes(_ other: Datum) -> Bool {
    for index in other.keys.indices {
      guard let here = self.index(of: other.keys[index]) else { return false }
      if !other.values.isEmpty, values[here] != other.values[index] { return false }
    }
    return true
  }

  /// Whether no element (maps: pair) of `other` is here.
  public func excludes(_ other: Datum) -> Bool {
    for index in other.keys.indices {
      guard let here = self.index(of: other.keys[index]) else { continue }
      if other.values.isEmpty || values[here] == other.values[index] { return false }
    }
    return true
  }

  /// What turns `self` into `new`, as `update2` and the log write it: a set's symmetric difference; of a map the pairs
  /// to remove (key and value as they are), to change (new value) and to add.
  public func difference(to new: Datum) -> Datum {
    merge(new) { old, new in
      guard let old, let new else { return old ?? new }
      return old.value == new.value ? nil : new
    }
  }

  /// Undoes `difference`: `old.applying(old.difference(to: new)) == new`.
  public func applying(_ difference: Datum) -> Datum {
    merge(difference) { mine, theirs in
      guard let mine, let theirs else { return mine ?? theirs }
      return mine.value == theirs.value ? nil : theirs
    }
  }

  private typealias Element = (key: Atom, value: Atom?)

  private func element(_ index: Int) -> Element {
    (keys[index], index < values.count ? values[index] : nil)
  }

  /// Walks both in order; `choose` gets what each has for a key and says what the result has.
  private func merge(_ other: Datum, _ choose: (Element?, Element?) -> Element?) -> Datum {
    var result = Datum.empty
    result.keys.reserveCapacity(max(count, other.count))
    var mine = 0
    var theirs = 0
    while mine < count || theirs < other.count {
      let takeMine = mine < count && (theirs == other.count || keys[mine] <= other.keys[theirs])
      let takeTheirs = theirs < other.count && (mine == count || other.keys[theirs] <= keys[mine])
      if let chosen = choose(takeMine ? element(mine) : nil, takeTheirs ? other.element(theirs) : nil) {
        result.keys.append(chosen.key)
        if let value = chosen.value { result.values.append(value) }
      }
      if takeMine { mine += 1 }
      if takeTheirs { theirs += 1 }
    }
    return result
  }

  /// The datum with every atom for which `keep` is false dropped (of a map: the pair).
  func filter(_ keep: (_ key: Atom, _ value: Atom?) -> Bool) -> Datum {
    guard keys.indices.contains(where: { !keep(keys[$0], $0 < values.count ? values[$0] : nil) }) else {
      return self
    }
    var result = Datum.empty
    for index in keys.indices {
      let (key, value) = element(index)
      guard keep(key, value) else { continue }
      result.keys.append(key)
      if let value { result.values.append(value) }
    }
    return result
  }
}

// JSON (RFC 7047 §5.1).
extension Datum {
  /// Reads a value of `type`: a bare atom is a set of one, sets may be unsorted and repeat elements.
  ///
  /// - Parameter checking: enforce ranges, enumerations and the number of elements. The log and differences do not.
  public init(_ json: JSON, _ type: ColumnType, names: NamedUUIDs? = nil, checking: Bool = true)
    throws(OVSDBError)
  {
    if type.value != nil {
      self = try Self.map(json, type, names)
    } else if let elements = Self.tagged(json, "set") {
      var atoms: [Atom] = []
      atoms.reserveCapacity(elements.count)
      for element in elements { atoms.append(try Atom(element, type.key.type, names: names)) }
      self.init(atoms)
      if count != atoms.count { throw .duplicate("a set has an element twice: \(json.excerpt)") }
    } else {
      self.init(try Atom(json, type.key.type, names: names))
    }
    guard checking else { return }
    guard type.allows(count: count) else {
      throw .syntax("expected \(type.wantedCount), not \(count): \(json.excerpt)")
    }
    try type.checkAtoms(self)
  }

  private static func map(_ json: JSON, _ type: ColumnType, _ names: NamedUUIDs?) throws(OVSDBError) -> Datum
  {
    guard let value = type.value, let elements = tagged(json, "map") else {
      throw .syntax("expected [\"map\", […]], not \(json.excerpt)")
    }
    var pairs: [(Atom, Atom)] = []
    pairs.reserveCapacity(elements.count)
    for element in elements {
      guard case .array(let pair) = element, pair.count == 2 else {
        throw .syntax("expected a [KEY, VALUE] pair, not \(element.excerpt)")
      }
      pairs.append(
        (try Atom(pair[0], type.key.type, names: names), try Atom(pair[1], value.type, names: names)))
    }
    let datum = Datum(map: pairs)
    if datum.count != pairs.count { throw .duplicate("a map has a key twice: \(json.excerpt)") }
    return datum
  }

  /// The elements of `[tag, […]]`.
  private static func tagged(_ json: JSON, _ tag: String) -> [JSON]? {
    guard case .array(let parts) = json, parts.count == 2, case .string(tag) = parts[0],
      case .array(let elements) = parts[1]
    else { return nil }
    return elements
  }

  /// The value in the form RFC 7047 prefers: a one-element set as its atom.
  public func json(_ type: ColumnType) -> JSON {
    if type.value != nil {
      return ["map", .array(zip(keys, values).map { [$0.json, $1.json] })]
    }
    if keys.count == 1 { return keys[0].json }
    return ["set", .array(keys.map(\.json))]
  }
}
