import JSONRPC
import Linux
import Testing

@testable import SwitchctlCommands

struct DryRunTests {
  let loop: EventLoop
  let server: ProductServer

  init() throws {
    loop = try EventLoop()
    server = try ProductServer(loop)
    #expect(run("add-br", "br0", "--", "add-port", "br0", "p1", "tag=3").status == .code(0))
  }

  func run(_ words: String...) -> Invoked {
    Invoked(["--db=unix:\(server.socket)", "--no-wait"] + words, loop: loop)
  }

  @Test func `It tells what would change, in words and as it would be sent, and changes nothing`() throws {
    let told = run(
      "--dry-run", "add-port", "br0", "p2", "tag=5", "--", "set", "Port", "p1", "tag=4", "trunks=7", "--",
      "list-br")
    #expect(told.status == .code(0))
    let lines = told.output.split(separator: "\n")
    #expect(
      lines.dropLast() == [
        "br0", "would change Bridge br0: ports+=p2", "would change Port p1: tag=4 (was 3), trunks+=7",
        "would add Interface: name=p2", "would add Port: interfaces=[p2], name=p2, tag=5",
      ])
    let request = try JSON(parsing: String(lines[lines.count - 1]))
    #expect(request[0] == "Open_vSwitch")
    let operations = request.array?.dropFirst().compactMap { $0["op"]?.string } ?? []
    #expect(operations.contains("insert") && operations.last == "comment" && !operations.contains("abort"))
    #expect(run("list-ports", "br0").output == "p1\n")
    #expect(run("get", "Port", "p1", "tag").output == "3\n")
  }

  @Test func `As JSON it is the parameters of one transact, which the server takes`() throws {
    let json = run("--dry-run", "--format=json", "del-port", "p1").output
    #expect(json.filter { $0 == "\n" }.count == 1)
    guard case .array(let parameters) = try JSON(parsing: json) else {
      Issue.record("\(json)")
      return
    }
    let connection = try Connection.connect(to: server.remote, loop)
    defer { connection.close() }
    var isCommitted = false
    connection.request("transact", parameters) { reply in
      if case .success(let results) = reply {
        isCommitted = results.array?.allSatisfy { $0["error"] == nil } ?? false
      }
    }
    let isDone = loop.run(atMost: 20_000) { isCommitted }
    #expect(isDone)
    #expect(run("list-ports", "br0").output == "")
    let pretty = run("--dry-run", "--format=json", "--pretty", "del-br", "br0").output
    #expect(pretty.hasPrefix("[\n  \"Open_vSwitch\",\n"))
  }

  @Test func `Deleting tells what goes with it`() {
    let told = run("--dry-run", "del-br", "br0").output.split(separator: "\n").dropLast()
    #expect(told.contains("would change Open_vSwitch .: bridges-=br0"))
    #expect(told.contains("would delete Port p1") && told.contains("would delete Bridge br0"))
  }

  @Test func `Nothing to do and what cannot be done are told as they are`() {
    #expect(run("--dry-run", "set", "Port", "p1", "tag=3").output == "nothing would change\n")
    #expect(run("--dry-run", "--if-exists", "del-br", "br7").output == "nothing would change\n")
    // The server is asked, and refuses.
    let refused = run("--dry-run", "add-aa-mapping", "br0", "1", "5000")
    #expect(refused.status == .code(1))
    #expect(refused.output.isEmpty && refused.errors.contains("transaction error"))
  }
}
