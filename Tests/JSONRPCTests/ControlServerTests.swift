import Glibc
import JSONRPC
import Linux
import Testing

@Suite struct ControlServerTests {
  @Test func runsCommandsAndExplainsMistakes() throws {
    let loop = try EventLoop()
    let path = "/tmp/control-test.\(getpid()).\(UInt32.random(in: 0 ... .max)).ctl"
    var exited = false
    let control = try ControlServer(loop, path: path, program: "tester") { exited = true }
    control.add(
      ControlCommand("greet", usage: "NAME", arguments: 1...1) { arguments throws(ControlError) in
        if arguments[0].isEmpty { throw ControlError("nobody to greet\n") }
        return "hello \(arguments[0])\n"
      })
    let client = try Connection.connect(to: .unix(path: path), loop)
    func ask(_ command: String, _ arguments: JSON...) -> Result<JSON, ReplyError>? {
      var result: Result<JSON, ReplyError>?
      client.request(command, arguments) { result = $0 }
      #expect(loop.run(atMost: 5000) { result != nil })
      return result
    }
    #expect(ask("greet", "you") == .success("hello you\n"))
    #expect(ask("greet", "") == .failure(.refused("nobody to greet\n")))
    #expect(ask("greet") == .failure(.refused("\"greet\" takes 1 argument: greet NAME\n")))
    #expect(ask("greet", 1) == .failure(.refused("\"greet\" takes strings only\n")))
    #expect(ask("version") == .success(.string("tester \(productVersion)\n")))
    #expect(try ask("list-commands")?.get().string?.contains("greet") == true)
    #expect(ask("vlog/set", "some-module:warn") == .success(""))
    #expect(try ask("vlog/list")?.get().string?.contains("some-module") == true)
    guard case .failure(.refused) = ask("nonsense") else {
      return #expect(Bool(false), "an unknown command is refused")
    }
    #expect(ask("exit") == .success(""))
    #expect(loop.run(atMost: 5000) { exited })
    control.close()
    #expect(access(path, F_OK) != 0)
  }
}
