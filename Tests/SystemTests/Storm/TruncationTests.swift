import Glibc
import Linux
import Seeded
import Testing
import VhostUser
import Virtio
import VirtioTesting

// SECURITY: memory that is gone while the switch reads or writes it.
extension System {
  @Suite struct Truncation {
    @Test func `Row 2: memory truncated while frames cross it stops that port alone, and it comes back`()
      throws
    {
      try withLab { lab in
        for port in ["steady0", "steady1"] { try lab.addVhostPort(port, columns: ["tag=1"]) }
        for port in ["first", "second"] { try lab.addVhostPort(port, columns: ["tag=2"]) }
        let stream = try SteadyStream(from: lab.socket("steady0"), to: lab.socket("steady1"))
        for port in ["steady0", "steady1"] {
          try eventually("\(port) is up") { try lab.interface(port, "link_state") == "up" }
        }
        var random = SeededRandom(seed: 2)
        for round in 0..<30 {
          let ends = try ["first", "second"].map { try End(lab.socket($0)) }
          try eventually("frames cross, round \(round)") {
            ends[0].send()
            stream.turn()
            return ends[1].receive() > 0
          }
          for _ in 0..<Int.random(in: 0..<20, using: &random) {
            ends[0].send()
            _ = ends[1].receive()
            stream.turn()
          }
          let loss = Loss.allCases[round % 3]
          let victim = loss == .sender ? 0 : 1
          if loss == .receiveBuffers {
            // All of them are offered again, and nothing is under way.
            try eventually("all frames have arrived") {
              _ = ends[1].receive()
              return ends[0].isIdle
            }
            _ = ends[1].receive()
          } else {
            for _ in 0..<4 { ends[0].send() }
          }
          // From here on this end's memory may not be touched any more, also by us.
          #expect(ftruncate(ends[victim].file, loss.left) == 0)
          if loss == .sender { ends[0].kick() } else { ends[0].send() }
          let port = ["first", "second"][victim]
          try eventually("\(port) is stopped, round \(round)") {
            stream.turn()
            return try lab.attempt("get", "Interface", port, "error").text.contains("truncated")
          }

          #expect(ends[victim].frontEnd.isClosedByPeer())
          let other = ["second", "first"][victim]
          try eventually("\(other) stays up") { try lab.interface(other, "link_state") == "up" }
        }
        try stream.finish()
        #expect(stream.fault == nil)
        #expect(stream.arrived == stream.sent)
      }
    }

    /// Whose memory goes, and which.
    private enum Loss: CaseIterable {
      case sender, receiver, receiveBuffers

      /// How long the file remains. Rings come first in it.
      var left: Int { self == .receiveBuffers ? 65_536 : 4096 }
    }

    /// A driver that broadcasts, and its front-end.
    private final class End {
      let driver: GuestDriver
      let frontEnd: ScriptedFrontEnd

      init(_ socket: String) throws {
        driver = try GuestDriver(ram: GuestRAM(size: 1 << 20), features: [.version1], ringSize: 64)
        driver.post(64, sizes: [2048])
        frontEnd = try ScriptedFrontEnd(connecting: socket)
        try frontEnd.negotiate(driver.features)
        try frontEnd.start(driver)
      }

      var file: Int32 { driver.ram.file.raw }

      func send() {
        let frame =
          [UInt8](repeating: 0xFF, count: 6) + [2, 0, 0, 0, 2, 2] + [UInt8](repeating: 7, count: 800)
        for _ in 0..<64 where driver.send(frame) {}
      }

      /// Nothing it sent is under way.
      var isIdle: Bool {
        driver.reclaim()
        return driver.transmitQueue.freeCount == driver.transmitQueue.size
      }

      func kick() { driver.transmitQueue.kick.signal() }

      /// Takes what has arrived; returns how much.
      func receive() -> Int {
        var count = 0
        while driver.receive() != nil { count += 1 }
        return count
      }
    }
  }
}
