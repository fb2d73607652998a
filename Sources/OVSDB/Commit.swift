import JSONRPC

// What holds for a transaction as a whole is established here, in this order: references are counted and their
// integrity checked, garbage goes, weak references to rows that are gone go; then table sizes and indexes are checked.
// Costs are proportional to what changed, not to the database.
extension Transaction {
  /// Makes the changes permanent and says what they were; on an error everything has been put back.
  func commit() throws(OVSDBError) -> ChangeSet {
    do throws(OVSDBError) {
      var references = ReferenceDeltas(self)
      try references.settle()
      try checkTableSizes()
      try checkIndexes()
      let changes = finish()
      if let storage = database.storage, !changes.isEmpty || !comments.isEmpty {
        needsSync =
          try storage.append(changes, database, comments: comments) && (isDurable || database.isDurable)
      }
      register(changes)
      return changes
    } catch {
      rollBack()
      throw error
    }
  }

  private func checkTableSizes() throws(OVSDBError) {
    for table in touched.lazy.map(\.table) {
      guard let maximum = table.schema.maximumRows, table.rows.count > maximum else { continue }
      throw .constraint(
        "table \(table.schema.name) would have \(table.rows.count) rows, more than its maximum of \(maximum)")
    }
  }

  private func checkIndexes() throws(OVSDBError) {
    for (table, originals) in touched.lazy.map({ ($0.table, $0.originals) }) {
      for index in table.indexes.indices {
        var seen: [[Datum]: UUID] = [:]
        for uuid in originals.keys {
          guard let row = table.rows[uuid] else { continue }
          let key = table.indexKey(index, row)
          if let other = seen.updateValue(uuid, forKey: key) {
            throw duplicate(table, index, key, uuid, other)
          }
          // A stored owner that was itself touched has moved, gone, or is in `seen`.
          if let owner = table.indexes[index][key], originals[owner] == nil {
            throw duplicate(table, index, key, uuid, owner)
          }
        }
      }
    }
  }

  private func duplicate(_ table: Table, _ index: Int, _ key: [Datum], _ a: UUID, _ b: UUID) -> OVSDBError {
    let columns = table.schema.indexes[index].map { table.schema.columns[$0] }
    let names = columns.map(\.name).joined(separator: ", ")
    let values = zip(key, columns).map { $0.json($1.type).excerpt }.joined(separator: ", ")
    return .constraint(
      "two rows of table \(table.schema.name) would have the same \(names): \(values) (rows \(a) and \(b))")
  }

  /// Leaves out rows that ended as they began, and gives the others a new version.
  private func finish() -> ChangeSet {
    var changes: ChangeSet = []
    for part in touched.sorted(by: { $0.table.place < $1.table.place }) {
      let table = part.table
      var rows: [RowChange] = []
      rows.reserveCapacity(part.originals.count)
      for (uuid, old) in part.originals {
        var new = table.rows[uuid]
        if old?.columns == new?.columns { continue }
        if new != nil {
          let version: UUID = database.uuids.next()
          new!.version = version
          table.rows[uuid]!.version = version
        }
        rows.append(RowChange(uuid: uuid, old: old, new: new))
      }
      if !rows.isEmpty { changes.append((table.place, rows)) }
    }
    return changes
  }

  private func register(_ changes: ChangeSet) {
    for (place, rows) in changes {
      let table = database.tables[place]
      if !table.indexes.isEmpty {
        for change in rows { if let old = change.old { database.unindex(old, in: table) } }
      }
      for change in rows { database.register(change.old, change.new, in: table) }
    }
  }
}

/// How the transaction changes the number of strong references to rows, kept beside the tables' own counts until
/// the commit succeeds.
private struct ReferenceDeltas {
  private let transaction: Transaction
  private let tables: [Table]
  /// The change of the number of strong references to a row.
  private var deltas: [RowName: Int] = [:]
  /// Rows that may have lost their last reference.
  private var suspects: [RowName] = []

  init(_ transaction: Transaction) {
    self.transaction = transaction
    tables = transaction.database.tables
  }

  mutating func settle() throws(OVSDBError) {
    for part in transaction.touched {
      for (uuid, old) in part.originals {
        if old == nil { suspects.append(RowName(table: part.table.place, uuid: uuid)) }
        count(part.table, old: old, new: part.table.rows[uuid])
      }
    }
    try checkIntegrity()
    repeat {
      collectGarbage()
      try dropWeakReferences()
    } while !suspects.isEmpty
  }

  private mutating func count(_ table: Table, old: Row?, new: Row?) {
    for reference in table.references where reference.hasStrong {
      reference.forEachChange(old, new) { target, uuid, step in
        guard target.isStrong else { return }
        let name = RowName(table: target.table, uuid: uuid)
        deltas[name, default: 0] += step
        if step < 0 { suspects.append(name) }
      }
    }
  }

  private func strongReferences(_ name: RowName) -> Int {
    tables[name.table].strongReferences[name.uuid, default: 0] + deltas[name, default: 0]
  }

  /// Deletes rows of non-root tables that nothing refers to, and what only they referred to.
  private mutating func collectGarbage() {
    while let suspect = suspects.popLast() {
      let table = tables[suspect.table]
      guard !table.schema.isRoot, strongReferences(suspect) == 0, let row = table.rows[suspect.uuid] else {
        continue
      }
      transaction.delete(table, suspect.uuid)
      count(table, old: row, new: nil)
    }
  }

  /// Removes weak references to rows that do not exist, from the rows that changed and from those that refer to a
  /// row that was deleted.
  private mutating func dropWeakReferences() throws(OVSDBError) {
    var referrers: Set<RowName> = []
    for (table, originals) in transaction.touched.lazy.map({ ($0.table, $0.originals) }) {
      let hasWeak = table.references.contains(where: \.hasWeak)
      if !hasWeak, table.weakReferrers.isEmpty { continue }
      for uuid in originals.keys {
        if table.rows[uuid] == nil {
          for name in table.weakReferrers[uuid, default: [:]].keys { referrers.insert(name) }
        } else if hasWeak {
          referrers.insert(RowName(table: table.place, uuid: uuid))
        }
      }
    }
    for name in referrers { try prune(name) }
  }

  private mutating func prune(_ name: RowName) throws(OVSDBError) {
    let table = tables[name.table]
    guard let row = table.rows[name.uuid] else { return }
    var pruned = row
    for reference in table.references where reference.hasWeak {
      let column = table.schema.columns[reference.column]
      let datum = row.columns[reference.column]
      let kept = datum.filter { key, value in exists(key, reference.key) && exists(value, reference.value) }
      guard kept.count != datum.count else { continue }
      if kept.count < column.type.minimum {
        throw .constraint(
          "column \(column.name) of table \(table.schema.name) row \(name.uuid) would become empty, because the row "
            + "it refers to was deleted, and needs at least one element")
      }
      pruned.columns[reference.column] = kept
    }
    guard pruned != row else { return }
    transaction.replace(table, pruned)
    count(table, old: row, new: pruned)
  }

  private func exists(_ atom: Atom?, _ target: ReferenceColumn.Target?) -> Bool {
    guard let target, !target.isStrong, case .uuid(let uuid)? = atom else { return true }
    return tables[target.table].rows[uuid] != nil
  }

  /// What is referred to has to exist, also where the reference is going to be garbage.
  private func checkIntegrity() throws(OVSDBError) {
    for part in transaction.touched {
      for uuid in part.originals.keys where part.table.rows[uuid] == nil {
        let remaining = strongReferences(RowName(table: part.table.place, uuid: uuid))
        guard remaining > 0 else { continue }
        throw .referentialIntegrity(
          "cannot delete \(part.table.schema.name) row \(uuid) because of \(remaining) remaining reference(s)"
        )
      }
    }
    for (name, delta) in deltas where delta > 0 && tables[name.table].rows[name.uuid] == nil {
      throw .referentialIntegrity(
        "\(referrer(to: name)) refers to row \(name.uuid), which does not exist in table "
          + tables[name.table].schema.name)
    }
  }

  /// Names a row of the transaction that refers to `name`.
  private func referrer(to name: RowName) -> String {
    for (table, originals) in transaction.touched.lazy.map({ ($0.table, $0.originals) }) {
      for uuid in originals.keys {
        guard let row = table.rows[uuid] else { continue }
        for reference in table.references {
          var found = false
          reference.forEach(row) { if $0.table == name.table, $1 == name.uuid { found = true } }
          if found {
            return "column \(table.schema.columns[reference.column].name) of \(table.schema.name) row \(uuid)"
          }
        }
      }
    }
    return "a row"
  }
}
