import Glibc
import Testing

/// A database server that a test runs against: ours, Open vSwitch's, or three of the latter as a cluster.
enum DatabaseKind: String, CaseIterable, CustomTestStringConvertible {
  case ours = "switchdbd"
  case reference = "ovsdb-server 3.1"
  case cluster = "ovsdb-server 3.1, three in a cluster"

  var testDescription: String { rawValue }

  static let schema = "/usr/share/openvswitch/vswitch.ovsschema"
}

/// The servers of one database in a lab, reached at `remote`.
final class RunningDatabase {
  let kind: DatabaseKind
  /// What clients are told: several remotes for a cluster.
  let remote: String
  /// One of them, for clients that know of one only.
  var firstRemote: String { remote.split(separator: ",").first.map(String.init) ?? remote }
  private(set) var programs: [Program] = []
  private let directory: String

  /// Starts the servers and waits until they serve Open_vSwitch.
  init(_ kind: DatabaseKind, in lab: Lab) throws {
    self.kind = kind
    directory = lab.directory
    switch kind {
    case .ours:
      try lab.startDatabase(options: ["--schema=\(DatabaseKind.schema)"])
      remote = "unix:\(lab.database)"
    case .reference:
      remote = "unix:\(lab.database)"
      let file = "\(directory)/conf.db"
      try must(["ovsdb-tool", "create", file, DatabaseKind.schema])
      programs = [try Self.server(lab.directory, lab.database, file, "one")]
    case .cluster:
      let sockets = (1...3).map { "\(lab.directory)/db\($0).sock" }
      remote = sockets.map { "unix:\($0)" }.joined(separator: ",")
      for (place, socket) in sockets.enumerated() {
        let file = "\(directory)/cluster\(place).db"
        let peers = (0...2).map { "unix:\(lab.directory)/raft\($0).sock" }
        if place == 0 {
          try must(["ovsdb-tool", "create-cluster", file, DatabaseKind.schema, peers[0]])
        } else {
          try must(["ovsdb-tool", "join-cluster", file, "Open_vSwitch", peers[place], peers[0]])
        }
        programs.append(try Self.server(lab.directory, socket, file, "\(place)"))
      }
    }
    try waitUntilServing()
    // Made by it, and served.
    if kind != .ours { Matrix.record(kind.rawValue, "ovsdb-tool", passed: true, in: .databases) }
  }

  private static func server(_ directory: String, _ socket: String, _ file: String, _ name: String) throws
    -> Program
  {
    try Program(
      [
        "ovsdb-server", "--remote=punix:\(socket)", "--unixctl=\(directory)/\(name).ctl", "--no-chdir",
        "-vconsole:off", "-vsyslog:off", file,
      ], standardOutput: "\(directory)/ovsdb-\(name).log")
  }

  private func waitUntilServing() throws {
    for remote in remote.split(separator: ",") {
      try eventually("\(remote) serves", within: 30) {
        try run(["ovsdb-client", "--timeout=2", "get-schema-version", String(remote), "Open_vSwitch"])
          .succeeded
      }
      try must(["ovsdb-client", "--timeout=20", "wait", String(remote), "Open_vSwitch", "connected"])
    }
  }

  /// Kills the cluster's leader.
  func killLeader() throws {
    for (place, program) in programs.enumerated() {
      let status = try must([
        "ovs-appctl", "-t", "\(directory)/\(place).ctl", "cluster/status", "Open_vSwitch",
      ])
      guard status.contains("Role: leader") else { continue }
      return program.kill()
    }
    throw HarnessError("the cluster has no leader")
  }

  /// All rows of all tables.
  func dump() throws -> String {
    try must(["ovsdb-client", "--timeout=10", "-f", "csv", "dump", remote, "Open_vSwitch"])
  }
}

/// Runs a test with a database server and, unless told otherwise, a switch that follows it.
func withDatabase(_ kind: DatabaseKind, switching: Bool = true, _ body: (Lab, RunningDatabase) throws -> Void)
  throws
{
  try withLab(start: false) { lab in
    let database = try RunningDatabase(kind, in: lab)
    try must(["ovs-vsctl", "--timeout=10", "--db=\(database.remote)", "--no-wait", "init"])
    if switching {
      try lab.startSwitchWithoutWaiting(database: database.remote)
      try must(["ovs-vsctl", "--timeout=20", "--db=\(database.remote)", "add-br", "br0"])
    }
    try body(lab, database)
  }
}
