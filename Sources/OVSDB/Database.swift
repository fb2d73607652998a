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
  /// Whether every transaction is synced before it is acknowledged, not only those that ask for it.
  var isDurable = false
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
      for row in table.rows.values { register(nil, row, in: table) }
    }
  }

  /// Makes reference counts and indexes those after a change. Of several changes the rows that go come first
  /// (`unindex`), since others may take their places in indexes.
  func register(_ old: Row?, _ new: Row?, in table: Table) {
    for reference in table.references {
      reference.forEachChange(old, new) { target, uuid, step in
        if target.isStrong {
          tables[target.table].strongReferences.add(step, to: uuid)
        } else if let row = new ?? old {
          tables[target.table].weakReferrers[uuid, default: [:]]
            .add(step, to: RowName(table: table.place, uuid: row.uuid))
          if tables[target.table].weakReferrers[uuid]?.isEmpty == true {
            tables[target.table].weakReferrers[uuid] = nil
          }
        }
      }
    }
    guard let new else { return }
    for index in table.indexes.indices { table.indexes[index][table.indexKey(index, new)] = new.uuid }
  }

  /// Takes a row that changes or goes out of the indexes.
  func unindex(_ row: Row, in table: Table) {
    for index in table.indexes.indices {
      let key = table.indexKey(index, row)
      if table.indexes[index][key] == row.uuid { table.indexes[index][key] = nil }
    }
  }
}

extension Dictionary where Value == Int {
  /// Changes a count; what is counted zero times has none.
  mutating func add(_ step: Int, to key: Key) {
    let count = self[key, default: 0] + step
    self[key] = count == 0 ? nil : count
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
