import JSONRPC
import Linux

/// One database: its tables in memory and, unless it is ephemeral, its log on disk.
public final class Database {
  public let schema: DatabaseSchema
  let tables: [Table]
  let storage: Storage?
  /// Clients may only look.
  let isReadOnly: Bool
  var uuids = UUIDGenerator()
  /// What one transaction may cost: rows looked at, and values returned (`Transaction.costOfValue` each).
  var workLimit = 100_000_000
  /// What clients follow; each plan is rendered once per change, however many follow it.
  var plans: [MonitorPlan] = []
  /// Called after every commit, updates already sent; transactions that wait are tried again there.
  var onCommit: (() -> Void)?
  /// The last commits, for `monitor_cond_since`.
  var history: History

  public var name: String { schema.name }

  /// A database in memory.
  public convenience init(schema: DatabaseSchema) { self.init(schema, nil, isReadOnly: false) }

  init(_ schema: DatabaseSchema, _ storage: Storage?, isReadOnly: Bool) {
    self.schema = schema
    self.storage = storage
    self.isReadOnly = isReadOnly
    tables = schema.tables.enumerated().map { Table($1, $0, schema) }
    history = History(uuids.next())
  }

  func table(_ name: String) throws(OVSDBError) -> Table {
    guard let place = schema.tableIndex[name] else { throw .unknownTable(name) }
    return tables[place]
  }

  /// Counts references and fills indexes from the rows, after they were loaded.
  func rebuild() {
    for table in tables {
      table.strongReferences = [:]
      table.weakReferrers = [:]
      table.indexes = table.schema.indexes.map { _ in [:] }
    }
    for table in tables {
      for row in table.rows.values { register(row, in: table, by: 1) }
    }
  }

  /// Adds (`by: 1`) or takes away (`by: -1`) what a row contributes to reference counts and indexes.
  func register(_ row: Row, in table: Table, by step: Int) {
    for reference in table.references {
      reference.forEach(row) { target, uuid in
        let other = tables[target.table]
        if target.isStrong {
          let count = other.strongReferences[uuid, default: 0] + step
          other.strongReferences[uuid] = count == 0 ? nil : count
        } else {
          let name = RowName(table: table.place, uuid: row.uuid)
          let count = other.weakReferrers[uuid, default: [:]][name, default: 0] + step
          other.weakReferrers[uuid, default: [:]][name] = count == 0 ? nil : count
          if other.weakReferrers[uuid]?.isEmpty == true { other.weakReferrers[uuid] = nil }
        }
      }
    }
    for index in table.indexes.indices {
      let key = table.indexKey(index, row)
      if step > 0 {
        table.indexes[index][key] = row.uuid
      } else if table.indexes[index][key] == row.uuid {
        table.indexes[index][key] = nil
      }
    }
  }
}

/// A source of row and version UUIDs: random, and cheaper than asking the kernel each time (xoshiro256**, seeded by
/// the system).
struct UUIDGenerator: RandomNumberGenerator {
  private var state: (UInt64, UInt64, UInt64, UInt64)

  init() {
    var system = SystemRandomNumberGenerator()
    state = (system.next(), system.next(), system.next(), system.next() | 1)
  }

  mutating func next() -> UInt64 {
    func rotate(_ value: UInt64, _ by: UInt64) -> UInt64 { value << by | value >> (64 - by) }
    let result = rotate(state.1 &* 5, 7) &* 9
    let shifted = state.1 << 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = rotate(state.3, 45)
    return result
  }

  mutating func next() -> UUID {
    UUID(high: next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000, low: next() & 0x3FFF_FFFF_FFFF_FFFF | 1 << 63)
  }
}
