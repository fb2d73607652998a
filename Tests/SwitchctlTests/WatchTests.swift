import JSONRPC
import Linux
import OVSDB
import Testing

@testable import SwitchctlCommands

/// `watch`, with changes made by another invocation's transactions while it runs.
struct WatchTests {
  let loop: EventLoop
  let server: ProductServer
  let client: Client
  var database: String { "--db=unix:\(server.socket)" }

  init() throws {
    loop = try EventLoop()
    server = try ProductServer(loop)
    client = Client(loop, remotes: [server.remote], monitoring: Client.everything)
    client.start()
    let (loop, client) = (loop, client)
    let isThere = loop.run(atMost: 20_000) { client.isSynchronized }
    try #require(isThere)
    change("add-br", "br0", "--", "add-port", "br0", "p1", "tag=3", "other_config:a=1", "trunks=1,2")
  }

  func change(_ words: String...) {
    let invoked = Invoked([database, "--no-wait"] + words, loop: loop)
    #expect(invoked.status == .code(0), "\(invoked.errors)")
  }

  /// Runs `watch`; each time it has printed a line, the next of `changes` is sent by another client.
  func watch(_ words: [String], _ changes: [(inout TransactionBuilder, Replica) -> Void] = [])
    -> (status: Outcome, output: String, errors: String)
  {
    var (output, errors) = ("", "")
    var left = changes[...]
    let terminal = Terminal(
      program: "switchctl",
      output: { text in
        output += text
        guard let change = left.popFirst(), let replica = client.replica else { return }
        var builder = TransactionBuilder()
        change(&builder, replica)
        client.transact(builder.operations) { result in
          if case .failure(let error) = result { Issue.record("\(error)") }
        }
      }, errors: { errors += $0 })
    let status = Program.run([database, "-t", "30", "watch"] + words, loop, terminal)
    return (status, output, errors)
  }

  /// Sets columns of the port p1.
  func set(_ columns: [String: Datum]) -> (inout TransactionBuilder, Replica) -> Void {
    { builder, replica in
      guard let table = replica.schema[table: "Port"],
        let row = replica.rows("Port").first(where: { $0.string("name") == "p1" })
      else { return }
      builder.update(table, row.uuid, columns)
    }
  }

  @Test func `What is there is told first, then every change, key by key`() {
    let told = watch(
      ["Port", "tag", "other_config", "trunks", "name=p1", "--count=5"],
      [
        set(["tag": Datum(4), "other_config": Datum(["a": "2", "b": "x y"])]),
        set(["trunks": Datum([.integer(2), .integer(7)])]),
        set(["tag": .empty, "other_config": Datum([:])]),
        { builder, replica in
          guard let bridge = replica.schema[table: "Bridge"], let row = replica.onlyRow("Bridge") else {
            return
          }
          let local = replica.rows("Port").filter { $0.string("name") == "br0" }.map(\.uuid)
          builder.update(bridge, row.uuid, ["ports": Datum(uuids: local)])
        },
      ])
    #expect(told.status == .code(0), "\(told.errors)")
    #expect(
      told.output == """
        initial Port p1: tag=3, other_config={a="1"}, trunks=[1, 2]
        modify Port p1: tag=4 (was 3), other_config:a="2" (was "1"), other_config:b="x y"
        modify Port p1: trunks+=7, trunks-=1
        modify Port p1: tag cleared (was 4), other_config:a cleared (was "2"), other_config:b cleared (was "x y")
        delete Port p1

        """)
  }

  @Test func `Rows come and go with the condition, and columns that are not watched say nothing`() {
    let told = watch(
      ["Port", "tag", "--count=3", "--", "tag<5", "name=p1"],
      [
        { [client] builder, replica in
          var other = TransactionBuilder()
          set(["trunks": .empty])(&other, replica)
          client.transact(other.operations) { _ in }
          set(["tag": Datum(9)])(&builder, replica)
        },
        set(["tag": Datum(4)]),
      ])
    #expect(told.output == "initial Port p1: tag=3\ndelete Port p1\ninsert Port p1: tag=4\n")
    #expect(told.status == .code(0), "\(told.errors)")
  }

  @Test func `A line of JSON is an object with the row, what it was and what it is`() throws {
    let told = watch(
      ["Port", "tag", "--format=json", "--count=3", "--", "tag!=9", "name=p1"],
      [set(["tag": Datum(4), "other_config": Datum([:])]), set(["tag": Datum(9)])])
    #expect(told.status == .code(0), "\(told.errors)")
    let lines = try told.output.split(separator: "\n").map { try JSON(parsing: String($0)) }
    let row = try #require(client.replica?.rows("Port").first { $0.string("name") == "p1" })
    func line(_ change: JSON, _ more: [String: JSON]) -> JSON {
      .object(
        ["change": change, "table": "Port", "name": "p1", "row": .string(row.uuid.description)]
          .merging(more) { $1 })
    }
    #expect(
      lines == [
        line("initial", ["new": ["tag": 3]]), line("modify", ["old": ["tag": 3], "new": ["tag": 4]]),
        line("delete", ["old": ["tag": 4]]),
      ])
  }

  @Test func `It ends after the time given, which is an error only if lines were to come`() {
    let short = Invoked(database, "-t", "1", "watch", "Port", "tag", "name=p1", loop: loop)
    #expect(short.status == .code(0))
    #expect(short.output == "initial Port p1: tag=3\n")
    let more = Invoked(database, "-t", "1", "watch", "Port", "--no-initial", "--count=1", loop: loop)
    #expect(more.status == .timedOut)
    #expect(more.errors == "switchctl: timed out after 1 s waiting for changes of Port\n")
  }

  @Test func `Wrong names, conditions and combinations are refused`() {
    #expect(Invoked(database, "watch", "Prot", loop: loop).errors.contains("did you mean \"Port\"?"))
    #expect(Invoked(database, "watch", "Port", "nmae", loop: loop).errors.contains("did you mean \"name\"?"))
    #expect(Invoked(database, "watch", "Port", "tag=x", loop: loop).status == .code(1))
    #expect(Invoked(database, "watch", "Port", "--count=0", loop: loop).status == .code(2))
    #expect(Invoked(database, "list-br", "--", "watch", "Port", loop: loop).status == .code(2))
    #expect(Invoked("--db=unix:/nowhere", "watch", "Port", loop: loop).errors.contains("connection failed"))
  }
}
