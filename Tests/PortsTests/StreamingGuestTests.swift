import Linux
import Packet
import Ports
import Testing
import VirtioTesting

/// The guest that load tests use, against ports in the test's own thread.
@Suite struct StreamingGuestTests {
  private struct Place {
    let directory = ScratchDirectory()
    let harness: PortHarness
    let port: VhostUserPort
    let guest: StreamingGuest

    init(_ loop: EventLoop, packed: Bool) throws {
      port = try VhostUserPort(
        PortConfiguration(name: "guest", kind: .vhostUser, runDirectory: directory.path), loop: loop)
      harness = try PortHarness(port, loop)
      guest = try StreamingGuest(connecting: "\(directory.path)/guest", ringSize: 64, packed: packed) {
        loop.turn(atMostMilliseconds: 1)
      }
      let port = port
      #expect(harness.wait { port.status.linkUp })
    }
  }

  /// Many laps of both rings: each frame once, whole and in order, and counted so at either end.
  @Test(arguments: [false, true], [false, true])
  func `Every frame of a stream arrives in order`(sendsPacked: Bool, receivesPacked: Bool) throws {
    let loop = try EventLoop()
    let sender = try Place(loop, packed: sendsPacked)
    let receiver = try Place(loop, packed: receivesPacked)
    var sent: UInt64 = 0
    var received: UInt64 = 0
    var mistakes = 0
    for round in 0..<500 {
      sender.guest.send(round % 29) { place in
        place.storeBytes(of: 0x0200_0000_0002, as: UInt64.self)
        place.storeBytes(of: sent, toByteOffset: 32, as: UInt64.self)
        sent += 1
        return 60 + Int(sent) % 1000
      }
      while sender.harness.forward(to: receiver.harness) > 0 {}
      receiver.guest.receive { frame in
        received += 1
        if frame.count != 60 + Int(received) % 1000 { mistakes += 1 }
        if frame.loadUnaligned(fromByteOffset: 32, as: UInt64.self) != received - 1 { mistakes += 1 }
      }
    }
    #expect(mistakes == 0)
    #expect(sent > 5000 && received == sent)
    #expect(sender.guest.waiting == 0)
    #expect(sender.guest.taken == sent && receiver.guest.received == sent)
  }
}
