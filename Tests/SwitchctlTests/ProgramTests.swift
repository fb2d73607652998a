import JSONRPC
import Linux
import OVSDB
import OVSDBTesting
import Testing

@testable import SwitchctlCommands

/// One invocation on a loop of its own, with what it printed.
struct Invoked {
  let status: Outcome
  let output: String
  let errors: String

  init(_ words: String..., loop: EventLoop) { self.init(words, loop: loop) }

  init(_ words: [String], loop: EventLoop) {
    var (output, errors) = ("", "")
    let terminal = Terminal(program: "switchctl", output: { output += $0 }, errors: { errors += $0 })
    status = Program.run(words, loop, terminal)
    (self.output, self.errors) = (output, errors)
  }
}

struct ProgramTests {
  let loop: EventLoop
  let directory: ScratchDirectory

  init() throws {
    loop = try EventLoop()
    directory = try ScratchDirectory()
  }

  @Test func nothingListens() {
    let socket = directory.file("db.sock")
    let invoked = Invoked("--db=unix:\(socket)", "list-br", loop: loop)
    #expect(invoked.status == .code(1))
    #expect(
      invoked.errors.hasPrefix(
        "switchctl: unix:\(socket): database connection failed (No such file or directory)"))
    #expect(invoked.errors.contains("switchd") && invoked.errors.contains("--db"))
    #expect(invoked.errors.filter { $0 == "\n" }.count == 1)
  }

  @Test func retryWaitsForTheDatabase() {
    let invoked = Invoked(
      "--db=unix:\(directory.file("db.sock"))", "--retry", "-t", "1", "list-br", loop: loop)
    #expect(invoked.status == .timedOut)
    #expect(invoked.errors.contains("waiting for the database"))
  }

  @Test func badRemote() {
    #expect(Invoked("--db=nonsense", "list-br", loop: loop).status == .code(1))
    #expect(Invoked("--db=", "list-br", loop: loop).status == .code(2))
    #expect(Invoked("--db=ssl:127.0.0.1:6640", "list-br", loop: loop).errors.contains("private key"))
  }

  @Test func helpAndVersionNeedNoDatabase() {
    #expect(Invoked("--help", loop: loop).output.contains("add-port BRIDGE PORT"))
    #expect(Invoked("--version", loop: loop).output == "switchctl \(productVersion)\n")
    #expect(Invoked("add-port", "--help", loop: loop).status == .code(0))
  }

  @Test func `A guest's state stands below its interface`() throws {
    let server = try ProductServer(loop)
    let database = "--db=unix:\(server.socket)"
    let made = Invoked(
      database, "--no-wait", "add-br", "br0", "--", "add-port", "br0", "vm1", "--", "set", "Interface", "vm1",
      "type=vhost-user", "status:mode=server", "status:socket=/run/vm1", "status:connects=0",
      "status:status=disconnected", loop: loop)
    #expect(made.status == .code(0), "\(made.errors)")
    #expect(
      Invoked(database, "show", loop: loop).output.hasSuffix(
        """
            Bridge br0
                Port br0
                    Interface br0
                        type: internal
                Port vm1
                    Interface vm1
                        type: vhost-user
                        guest: none yet (server, /run/vm1)

        """))
  }

  // MARK: The control socket

  @Test func controlCommands() throws {
    let path = directory.file("switchd.\(42).ctl")
    let server = try ControlServer(loop, path: path, program: "switchd") {}
    server.add(
      ControlCommand("fdb/show", usage: "[BRIDGE]", arguments: 0...2) { arguments throws(ControlError) in
        "table of \(arguments)"
      })
    server.add(
      ControlCommand("fdb/flush", usage: "[BRIDGE]", arguments: 0...1) { _ throws(ControlError) in
        throw ControlError("no bridge named x")
      })
    let pid = try Subprocess(["sh", "-c", "echo 42 > \(directory.file("switchd.pid"))"])
    #expect(pid.wait() == 0)
    let rundir = "--rundir=\(directory.path)"

    let shown = Invoked(rundir, "fdb", "br0", loop: loop)
    #expect(shown.status == .code(0))
    #expect(shown.output == "table of [\"br0\"]\n")
    #expect(
      Invoked(rundir, "-f", "json", "fdb", "br0", "--", "fdb", loop: loop).output
        == "table of [\"br0\", \"--format=json\"]\ntable of [\"--format=json\"]\n")

    let failed = Invoked(rundir, "fdb-flush", "x", loop: loop)
    #expect(failed.status == .code(1))
    #expect(failed.errors == "switchctl: switchd: no bridge named x\n")

    #expect(Invoked(rundir, "appctl", "list-commands", loop: loop).output.contains("fdb/show"))
    #expect(Invoked("--target=\(path)", "appctl", "fdb/show", loop: loop).output == "table of []\n")
    #expect(Invoked(rundir, "fdb", "--", "list-br", loop: loop).status == .code(2))
    server.close()

    let gone = Invoked(rundir, "fdb", loop: loop)
    #expect(gone.status == .code(1))
    #expect(gone.errors.contains("is it running?"))
  }

  @Test func `The counters of queues are asked for by an option, before the name or after`() throws {
    let server = try ControlServer(loop, path: directory.file("switchd.42.ctl"), program: "switchd") {}
    defer { server.close() }
    for name in ["stats/show", "stats/queues"] {
      server.add(
        ControlCommand(name, arguments: 0...2) { arguments throws(ControlError) in "\(name) \(arguments)\n" })
    }
    #expect(try Subprocess(["sh", "-c", "echo 42 > \(directory.file("switchd.pid"))"]).wait() == 0)
    let rundir = "--rundir=\(directory.path)"
    #expect(Invoked(rundir, "stats", loop: loop).output == "stats/show []\n")
    #expect(Invoked(rundir, "stats", "--queues", loop: loop).output == "stats/queues []\n")
    #expect(Invoked(rundir, "stats", "--queues", "vm1", loop: loop).output == "stats/queues [\"vm1\"]\n")
    #expect(Invoked(rundir, "--queues", "stats", "vm1", loop: loop).output == "stats/queues [\"vm1\"]\n")
    #expect(
      Invoked(rundir, "-f", "json", "stats", "vm1", loop: loop).output
        == "stats/show [\"vm1\", \"--format=json\"]\n")
    #expect(Invoked(rundir, "stats", "--queue-pairs", loop: loop).status == .code(2))
  }

  @Test func noDaemon() {
    let invoked = Invoked("--rundir=\(directory.path)", "stats", loop: loop)
    #expect(invoked.status == .code(1))
    #expect(invoked.errors.contains("switchd does not run in \(directory.path)"))
  }
}

/// Against a database, with a stand-in for the switch: a client that answers new configurations.
@Suite(.enabled(if: ReferenceServer.isInstalled, Comment(rawValue: ReferenceServer.reason)))
struct SwitchAnswerTests {
  let loop: EventLoop
  let server: ReferenceServer
  let client: Client
  var database: String { "--db=unix:\(server.socket)" }

  init() throws {
    loop = try EventLoop()
    server = try ReferenceServer()
    client = Client(loop, remotes: [server.remote], monitoring: Client.everything)
    client.start()
    let (loop, client) = (loop, client)
    let isThere = loop.run(atMost: 20_000) { client.isSynchronized }
    try #require(isThere)
    #expect(Invoked(database, "--no-wait", "init", loop: loop).status == .code(0))
  }

  /// Applies every configuration, giving each interface what `outcome` says: an ofport, or an error.
  func answer(_ outcome: @escaping (String) -> (ofport: Int64, error: String?)) {
    client.onChange = { [unowned client] _ in
      guard let replica = client.replica, let root = replica.onlyRow("Open_vSwitch"),
        let next = root.integer("next_cfg"), next != root.integer("cur_cfg"),
        let rootTable = replica.schema[table: "Open_vSwitch"], let table = replica.schema[table: "Interface"]
      else { return }
      var builder = TransactionBuilder()
      for row in replica.rows("Interface") {
        let (ofport, error) = outcome(row.string("name") ?? "")
        builder.update(
          table, row.uuid, ["ofport": Datum(ofport), "error": error.map { Datum($0) } ?? .empty])
      }
      builder.update(rootTable, root.uuid, ["cur_cfg": Datum(next)])
      client.transact(builder.operations) { _ in }
    }
  }

  @Test func waitsForTheSwitch() {
    answer { _ in (1, nil) }
    let invoked = Invoked(database, "-t", "20", "add-br", "br0", "--", "add-port", "br0", "p1", loop: loop)
    #expect(invoked.status == .code(0))
    #expect(invoked.errors.isEmpty)
    #expect(client.replica?.onlyRow("Open_vSwitch")?.integer("cur_cfg") == 1)
  }

  @Test func saysWhyAPortCouldNotBeSetUp() {
    answer { $0 == "bad" ? (-1, "could not open network device bad (No such device)") : (1, nil) }
    #expect(Invoked(database, "-t", "20", "add-br", "br0", loop: loop).status == .code(0))
    let invoked = Invoked(database, "-t", "20", "add-port", "br0", "bad", loop: loop)
    #expect(invoked.status == .code(1))
    #expect(
      invoked.errors
        == "switchctl: Error detected while setting up 'bad': could not open network device bad (No such device)\n"
    )
    // The row stays: the switch goes on trying.
    #expect(Invoked(database, "list-ports", "br0", loop: loop).output == "bad\n")
    // Another port's failure is not this invocation's.
    #expect(Invoked(database, "-t", "20", "add-port", "br0", "good", loop: loop).status == .code(0))
  }

  @Test func tellsWhatItWaitsFor() {
    let invoked = Invoked(database, "-t", "4", "add-br", "br0", loop: loop)
    #expect(invoked.status == .timedOut)
    #expect(invoked.errors.contains("waiting for switchd to apply it"))
    #expect(invoked.errors.contains("timed out after 4 s"))
    #expect(Invoked(database, "list-br", loop: loop).output == "br0\n")
  }

  /// The change is in the database: a restart of its server does not end the wait for the switch.
  @Test func databaseRestartsDuringTheWait() throws {
    var isRestarted = false
    when({ client.replica?.onlyRow("Bridge") != nil }) {
      server.stop()
      isRestarted = (try? server.start()) != nil
      // The first thing it hears in the new session makes it answer.
      answer { _ in (1, nil) }
    }
    let invoked = Invoked(database, "-t", "60", "add-br", "br0", loop: loop)
    #expect(isRestarted)
    #expect(invoked.status == .code(0), "\(invoked.errors)")
  }

  /// Does `body` as soon as `condition` holds.
  private func when(_ condition: @escaping () -> Bool, _ body: @escaping () -> Void) {
    loop.after(milliseconds: 5) { if condition() { body() } else { when(condition, body) } }
  }

  @Test func questionsDoNotWait() {
    #expect(Invoked(database, "-t", "20", "list-br", loop: loop).status == .code(0))
    #expect(client.replica?.onlyRow("Open_vSwitch")?.integer("next_cfg") == 0)
    // Nor does a change that is none.
    #expect(Invoked(database, "-t", "20", "--if-exists", "del-br", "br0", loop: loop).status == .code(0))
  }

  @Test func waitUntilWaits() throws {
    #expect(Invoked(database, "--no-wait", "add-br", "br0", loop: loop).status == .code(0))
    loop.after(milliseconds: 20) { [client] in
      guard let replica = client.replica, let row = replica.onlyRow("Interface"),
        let table = replica.schema[table: "Interface"]
      else { return }
      var builder = TransactionBuilder()
      builder.update(table, row.uuid, ["link_state": Datum("up")])
      client.transact(builder.operations) { _ in }
    }
    let invoked = Invoked(
      database, "-t", "20", "wait-until", "Interface", "br0", "link_state=up", "--", "get", "Interface",
      "br0", "link_state",
      loop: loop)
    #expect(invoked.status == .code(0))
    #expect(invoked.output == "up\n")
  }

  /// Another client changes what a command has read, between its reading and its transaction: it runs again.
  @Test func conflictIsRetried() throws {
    let fake = try ConflictingProxy(loop, server)
    let invoked = Invoked("--db=unix:\(fake.path)", "--no-wait", "-t", "20", "add-br", "mine", loop: loop)
    #expect(invoked.status == .code(0), "\(invoked.errors)")
    #expect(fake.transactions == 2)
    #expect(Invoked(database, "list-br", loop: loop).output == "mine\nother\n")
  }

  @Test func columnsOfALaterCommandSeeTheEarlierOnes() {
    let invoked = Invoked(
      database, "--no-wait", "add-br", "br0", "--", "set", "Bridge", "br0", "other_config:a=1", "--", "get",
      "Bridge", "br0",
      "other_config:a", "--", "list-br", loop: loop)
    #expect(invoked.output == "\"1\"\nbr0\n")
  }

  @Test func unknownColumnIsNamedAndSuggested() {
    #expect(Invoked(database, "--no-wait", "add-br", "br0", loop: loop).status == .code(0))
    let invoked = Invoked(database, "set", "Bridge", "br0", "fial_mode=secure", loop: loop)
    #expect(invoked.status == .code(1))
    #expect(
      invoked.errors
        == "switchctl: Bridge does not contain a column whose name matches \"fial_mode\" (did you mean \"fail_mode\"?)\n"
    )
    #expect(
      Invoked(database, "get", "Brigde", "br0", "name", loop: loop).errors.contains(
        "did you mean \"Bridge\"?"))
  }
}

/// Passes everything on to a server; before the first transaction it lets another client add the bridge "other".
final class ConflictingProxy {
  let path: String
  private(set) var transactions = 0
  private var listener: Server?
  private var pairs: [(Connection, Connection)] = []

  init(_ loop: EventLoop, _ server: ReferenceServer) throws {
    path = server.directory.file("proxy.sock")
    listener = try Server(loop, on: .listenUnix(path: path)) { [unowned self] near in
      guard let far = try? Connection.connect(to: server.remote, loop) else { return near.close() }
      pairs.append((near, far))
      far.onNotification = { [unowned near] method, params in near.notify(method, params) }
      near.onRequest = { [unowned self, unowned near, unowned far] method, params, id in
        if method == "transact" {
          transactions += 1
          if transactions == 1 {
            let other = try? server.directory.run([
              "ovs-vsctl", "--no-wait", "--db=unix:\(server.socket)", "add-br", "other",
            ])
            #expect(other?.status == 0)
          }
        }
        far.request(method, params) { reply in
          switch reply {
          case .success(let result): near.reply(to: id, result)
          case .failure(.refused(let error)): near.fail(id, error)
          case .failure(.closed): near.close()
          }
        }
      }
    }
  }
}
