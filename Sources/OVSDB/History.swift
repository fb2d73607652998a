/// The last commits of a database, so that a client that was away for a while is told what it missed instead of
/// everything (`monitor_cond_since`, ovsdb-server(7) §4.1.15).
///
/// Bounded by the number of commits and by the rows they changed: beyond that, everything is less than what was missed.
struct History {
  private struct Entry {
    /// The state after the commit.
    let id: UUID
    let changes: ChangeSet
    let rows: Int
  }

  static let maximumCommits = 100
  static let maximumRows = 10_000

  /// Identifies the state after the last commit.
  private(set) var last: UUID
  /// The state before the oldest commit that is remembered.
  private var base: UUID
  private var entries: [Entry] = []
  private var rows = 0

  init(_ first: UUID) {
    last = first
    base = first
  }

  /// Remembers a commit that led to the state `id`.
  mutating func append(_ changes: ChangeSet, leadingTo id: UUID) {
    let count = changes.reduce(0) { $0 + $1.rows.count }
    entries.append(Entry(id: id, changes: changes, rows: count))
    rows += count
    last = id
    var dropped = 0
    while entries.count - dropped > Self.maximumCommits || rows > Self.maximumRows {
      rows -= entries[dropped].rows
      base = entries[dropped].id
      dropped += 1
    }
    entries.removeFirst(dropped)
  }

  /// What led from the state `id` to the present one: each row once, as it was then and is now. Nil when that state is
  /// not remembered.
  func changes(since id: UUID) -> ChangeSet? {
    let first: Int
    if id == base {
      first = 0
    } else if let index = entries.firstIndex(where: { $0.id == id }) {
      first = index + 1
    } else {
      return nil
    }
    var tables: [Int: [UUID: RowChange]] = [:]
    for entry in entries[first...] {
      for (table, rows) in entry.changes {
        for change in rows {
          let earlier = tables[table]?[change.uuid]
          tables[table, default: [:]][change.uuid] = RowChange(
            uuid: change.uuid, old: earlier == nil ? change.old : earlier?.old, new: change.new)
        }
      }
    }
    return tables.sorted { $0.key < $1.key }.map { ($0.key, Array($0.value.values)) }
  }
}
