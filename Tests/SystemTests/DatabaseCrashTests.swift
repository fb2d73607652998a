import Glibc
import JSONRPC
import Linux
import Seeded
import Testing

// The database server ends while clients write: as it is told to, or killed.
extension System {
  @Suite struct DatabaseCrashes {
    /// Rounds of load on one file, each ended by a kill at a moment of its own; half of them while the file is being
    /// compacted, half with every transaction synced.
    @Test func `Row 29: No acknowledged transaction is lost to kill -9, at whatever moment`() throws {
      try withLab(start: false) { lab in
        var random = SeededRandom(seed: 29)
        var acknowledged: Set<String> = []
        for round in 0..<8 {
          try lab.startDatabase(options: round % 2 == 0 ? ["--durable"] : [])
          let load = try DatabaseLoad(lab.database, round: round, known: acknowledged)
          let compaction = round % 4 < 2 ? try compact(lab) : nil
          let wanted = Int.random(in: 1...120, using: &random)
          #expect(load.run { $0 >= wanted })
          lab.switchdbd?.kill()
          compaction?.kill()
          acknowledged.formUnion(load.acknowledged)
          let check = try lab.attempt("db", "check", "\(lab.directory)/conf.db")
          #expect(check.succeeded, "round \(round): \(check)")
        }
        try lab.startDatabase()
        let found = try DatabaseLoad.names(lab.database)
        #expect(acknowledged.count > 8)
        #expect(acknowledged.subtracting(found).isEmpty)
      }
    }

    @Test func `A compaction told on the control socket is done when the answer comes`() throws {
      try withLab(start: false) { lab in
        try lab.startDatabase()
        for name in ["a", "b", "c", "d"] {
          try lab.ctl("--no-wait", "set", "Open_vSwitch", ".", "external_ids:k=\(name)")
        }
        let file = "\(lab.directory)/conf.db"
        #expect(try lab.ctl("db", "show-log", file).split(separator: "\n").count > 4)
        #expect(try compact(lab).wait(within: 20) == 0)
        #expect(try lab.ctl("db", "show-log", file).split(separator: "\n").count == 2)
        #expect(try lab.ctl("get", "Open_vSwitch", ".", "external_ids:k") == "d")
      }
    }

    @Test func `SIGTERM ends the database server cleanly, also while it syncs`() throws {
      try withLab(start: false) { lab in
        for round in 0..<5 {
          try lab.startDatabase(options: ["--durable"])
          let load = try DatabaseLoad(lab.database, round: round, known: [])
          #expect(load.run { $0 >= 20 })
          lab.switchdbd?.signal(SIGTERM)
          #expect(try lab.switchdbd?.wait(within: 20) == 0, "\(lab.log)")
          #expect(load.run { _ in false } == false)
          let check = try lab.attempt("db", "check", "\(lab.directory)/conf.db")
          #expect(check.succeeded, "\(check)")
        }
      }
    }

    private func compact(_ lab: Lab) throws -> Program {
      try Program(
        [
          "\(Location.programs)/switchctl", "--rundir=\(lab.directory)", "--target=switchdbd", "appctl",
          "ovsdb-server/compact",
        ], standardOutput: "\(lab.directory)/compact.log")
    }
  }
}

/// Clients that insert rows as fast as they are told of the last ones.
private final class DatabaseLoad {
  private let loop: EventLoop
  private var connections: [Connection] = []
  private var next = 0
  private let round: Int
  /// The names of rows whose insert was acknowledged.
  private(set) var acknowledged: Set<String> = []

  /// - Parameter known: what an earlier server acknowledged; this one has to have it.
  init(_ socket: String, round: Int, known: Set<String>) throws {
    loop = try EventLoop()
    self.round = round
    let found = try Self.names(socket)
    #expect(known.subtracting(found).isEmpty, "round \(round)")
    for _ in 0..<8 {
      let connection = try Connection.connect(to: .unix(path: socket), loop)
      connections.append(connection)
      for _ in 0..<4 { insert(connection) }
    }
  }

  deinit { for connection in connections { connection.close() } }

  /// Goes on until `condition` holds of the number of rows acknowledged, or every server's end of a connection is gone.
  func run(until condition: (Int) -> Bool) -> Bool {
    _ = loop.run(atMost: 60_000) { condition(acknowledged.count) || connections.allSatisfy(\.isClosed) }
    return condition(acknowledged.count)
  }

  private func insert(_ connection: Connection) {
    let name = "\(round)-\(next)"
    next += 1
    // Large enough for a compaction to take its time.
    let padding = JSON.string(String(repeating: "x", count: 500))
    let row: JSON = ["type": .string(name), "other_config": ["map", [["padding", padding]]]]
    connection.request("transact", ["Open_vSwitch", ["op": "insert", "table": "QoS", "row": row]]) {
      [unowned self, unowned connection] reply in
      guard case .success(let results) = reply else { return }
      #expect(results.array?.count == 1, "\(results)")
      acknowledged.insert(name)
      insert(connection)
    }
  }

  /// The names of all rows.
  static func names(_ socket: String) throws -> Set<String> {
    let loop = try EventLoop()
    let connection = try Connection.connect(to: .unix(path: socket), loop)
    defer { connection.close() }
    var names: Set<String>?
    connection.request(
      "transact", ["Open_vSwitch", ["op": "select", "table": "QoS", "where": [], "columns": ["type"]]]
    ) { reply in
      guard case .success(let results) = reply else { return }
      names = Set((results[0]?["rows"]?.array ?? []).compactMap { $0["type"]?.string })
    }
    guard loop.run(atMost: 60_000, until: { names != nil }), let names else {
      throw HarnessError("the database does not answer")
    }
    return names
  }
}
