import JSONRPC

/// What ports tell of their queues, as a table: a row for each queue, a column for each counter.
///
/// Columns in which every queue has zero or nothing are left out of the text, but not of the JSON.
struct QueueTable {
  /// What `rx_q0_packets` names.
  struct CounterName: Equatable {
    /// "rx" or "tx".
    let direction: Substring
    let queue: Int
    let counter: Substring

    /// Nil for a name that is none of a queue's.
    init?(_ name: String) {
      let parts = name.split(separator: "_", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, parts[0] == "rx" || parts[0] == "tx", parts[1].first == "q", !parts[2].isEmpty,
        let queue = Int(parts[1].dropFirst()), queue >= 0
      else { return nil }
      direction = parts[0]
      self.queue = queue
      counter = parts[2]
    }
  }

  private struct Row {
    let port: String
    let direction: String
    let queue: Int
    var values: [String: UInt64] = [:]
  }

  private var rows: [Row] = []
  private var places: [String: Int] = [:]
  /// In the order in which they first came.
  private var counters: [String] = []

  mutating func append(_ port: String, _ statistics: [(name: String, value: UInt64)]) {
    for (name, value) in statistics {
      guard let name = CounterName(name) else { continue }
      let counter = String(name.counter)
      if !counters.contains(counter) { counters.append(counter) }
      let key = "\(port) \(name.direction) \(name.queue)"
      let place = places[key] ?? rows.count
      if place == rows.count {
        places[key] = place
        rows.append(Row(port: port, direction: String(name.direction), queue: name.queue))
      }
      rows[place].values[counter] = value
    }
  }

  var table: TextTable {
    let shown = counters.map { counter in
      let isCounted = rows.contains { $0.values[counter, default: 0] > 0 }
      return (counter, isCounted ? TextTable.Alignment.right : .hidden)
    }
    var table = TextTable([("port", .left), ("direction", .left), ("queue", .right)] + shown)
    for row in rows {
      let values = counters.map { counter in
        row.values[counter].map { JSON.integer(Int64(clamping: $0)) } ?? .null
      }
      table.append([.string(row.port), .string(row.direction), .integer(Int64(row.queue))] + values)
    }
    return table
  }
}
