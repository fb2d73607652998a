import Glibc
import Linux
import Seeded
import Testing

@testable import JSONRPC

@Suite struct OutputBufferTests {
  /// Against a list of pieces, each free or not: what leaves is the longest free beginning.
  @Test(arguments: 0..<20)
  func `What is held back, and what comes after it, leaves when it is released, in order`(seed: UInt64) throws
  {
    var random = SeededRandom(seed: seed)
    var buffer = OutputBuffer()
    var model: [(bytes: [UInt8], isFree: Bool)] = []
    var held: [(reply: HeldReply, index: Int)] = []
    var left: [UInt8] = []
    for step in 0..<600 {
      let bytes = [UInt8](repeating: UInt8(step & 255), count: Int.random(in: 1...40, using: &random))
      switch Int.random(in: 0..<8, using: &random) {
      case 0...2:
        buffer.append { $0 += bytes }
        model.append((bytes, true))
      case 3, 4:
        held.append((buffer.hold { $0 += bytes }, model.count))
        model.append((bytes, false))
      case 5 where !held.isEmpty:
        let chosen = held.remove(at: Int.random(in: 0..<min(4, held.count), using: &random))
        let other = Bool.random(using: &random) ? bytes : nil
        buffer.release(chosen.reply, as: other)
        if let other { model[chosen.index].bytes = other }
        model[chosen.index].isFree = true
      default:
        let sendable = buffer.sendable
        let count = sendable.isEmpty ? 0 : Int.random(in: 1...sendable.count, using: &random)
        left += sendable.prefix(count)
        buffer.consume(count)
        buffer.reclaim()
      }
      let free = model.prefix { $0.isFree }.flatMap(\.bytes)
      #expect(left + Array(buffer.sendable) == free)
      #expect(buffer.backlog == model.flatMap(\.bytes).count - left.count)
    }
    #expect(left.count > 300)
  }

  @Test func `A held reply keeps back what follows it until it is released, as it was or as another`() throws
  {
    let loop = try EventLoop()
    let (near, far) = try UnixSocket.pair()
    let server = Connection(loop, owning: FileDescriptor(owning: near), name: "near")
    let client = Connection(loop, owning: FileDescriptor(owning: far), name: "far")
    var heard: [String] = []
    client.onNotification = { method, _ in heard.append(method) }
    var replies: [JSON] = []
    var held: [HeldReply] = []
    server.onRequest = { [unowned server] method, _, id in
      server.notify("before", [])
      if let reply = server.hold(replyTo: id, .string(method)) { held.append(reply) }
      server.notify("after", [])
    }
    let ids = ["one", "two"].map { name in
      client.request(name, []) { if case .success(let value) = $0 { replies.append(value) } }
    }
    #expect(loop.run(atMost: 10_000) { held.count == 2 && heard.count == 1 })
    for _ in 0..<5 { loop.turn(atMostMilliseconds: 1) }
    #expect(heard == ["before"])
    #expect(replies.isEmpty)
    server.release(held[1], to: ids[1])
    for _ in 0..<5 { loop.turn(atMostMilliseconds: 1) }
    #expect(replies.isEmpty)
    server.release(held[0], to: ids[0], as: "other")
    #expect(loop.run(atMost: 10_000) { replies.count == 2 && heard.count == 4 })
    #expect(replies == ["other", "two"])
  }
}
