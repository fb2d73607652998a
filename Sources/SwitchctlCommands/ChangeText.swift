import OVSDB

/// Changes of rows for people: `link_state=down (was up)`, `statistics:rx_packets=5 (was 3)`, `trunks+=7`.
struct ChangeText {
  /// What a row is called that a column refers to; nil: its UUID is all there is.
  let nameOfRow: (_ table: String, UUID) -> String?

  /// `name=vm1`.
  func value(_ column: ColumnSchema, _ datum: Datum) -> String {
    let type = column.type
    let elements = zip(datum.keys.indices, datum.keys).map { index, key in
      let key = atom(key, type.key)
      return type.value.map { "\(key)=\(atom(datum.values[index], $0))" } ?? key
    }.joined(separator: ", ")
    guard type.isPlural || datum.isEmpty else { return "\(column.name)=\(elements)" }
    return column.name + (type.isMap ? "={\(elements)}" : "=[\(elements)]")
  }

  /// What differs, an entry for each element of a set and each key of a map.
  func changes(_ column: ColumnSchema, _ old: Datum, _ new: Datum) -> [String] {
    let type = column.type
    if let value = type.value {
      return (old.keys + new.keys.filter { !old.contains($0) }).compactMap { key in
        let place = "\(column.name):\(atom(key, type.key))"
        let (before, after) = (old[key].map { atom($0, value) }, new[key].map { atom($0, value) })
        guard before != after else { return nil }
        return change(place, before, after)
      }
    }
    if type.isPlural {
      let (added, removed) = (new.removing(old), old.removing(new))
      return [("+=", added), ("-=", removed)].filter { !$0.1.isEmpty }.map { sign, elements in
        column.name + sign + elements.keys.map { atom($0, type.key) }.joined(separator: ",")
      }
    }
    return [change(column.name, old.scalar.map { atom($0, type.key) }, new.scalar.map { atom($0, type.key) })]
  }

  private func change(_ place: String, _ old: String?, _ new: String?) -> String {
    switch (old, new) {
    case (nil, let new?): "\(place)=\(new)"
    case (let old, nil): "\(place) cleared (was \(old ?? "[]"))"
    case (let old?, let new?): "\(place)=\(new) (was \(old))"
    }
  }

  private func atom(_ atom: Atom, _ base: BaseType) -> String {
    if case .uuid(let uuid) = atom, let table = base.referenceTable, let name = nameOfRow(table, uuid) {
      return name
    }
    return ValueText.text(atom)
  }
}
