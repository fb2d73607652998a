import Glibc
import Linux
import Synchronization
import Testing

// SECURITY: front-ends that come and die as fast as they can cost nobody else a frame, and leave nothing behind.
extension System {
  @Suite struct ConnectionStorm {
    private static let ports = 8

    @Test func `Row 11: 1000 front-ends live and die on 8 ports while two others forward without loss`()
      throws
    {
      try withLab { lab in
        for port in ["steady0", "steady1"] { try lab.addVhostPort(port, columns: ["tag=1"]) }
        for port in 0..<Self.ports { try lab.addVhostPort("storm\(port)", columns: ["tag=2"]) }
        let stream = try SteadyStream(from: lab.socket("steady0"), to: lab.socket("steady1"))
        for port in ["steady0", "steady1"] {
          try eventually("\(port) is up") { try lab.interface(port, "link_state") == "up" }
        }

        // A first round lets every buffer and table grow to the size it will have.
        _ = try storm(lab, 50, stream)
        let before = try footprint(lab)
        let lives = try storm(lab, 1000, stream)
        try eventually("what the storm held is given back; before \(before), now \(try footprint(lab))") {
          let after = try footprint(lab)
          return after.descriptors == before.descriptors && after.mappings == before.mappings
            && after.kilobytes < before.kilobytes + 2048
        }

        #expect(lives.total == 1000)
        #expect(lives.negotiating > 50 && lives.midMessage > 50 && lives.forwarding > 500, "\(lives)")
        #expect(lives.framesTaken > 1000)
        try stream.finish()
        #expect(stream.fault == nil)
        #expect(stream.arrived == stream.sent)
        let (near, far) = (try lab.counters("steady0"), try lab.counters("steady1"))
        #expect(near["rx_packets"] == Int(stream.sent) && far["tx_packets"] == Int(stream.sent))
        #expect(near["rx_dropped"] == 0 && far["tx_dropped"] == 0, "\(near) \(far)")
        // Dying is no violation.
        #expect(!lab.log.contains("was disconnected"))
        #expect(lab.switchd?.isRunning == true)
      }
    }

    /// `count` lives, shared out among the ports, while the stream goes on.
    private func storm(_ lab: Lab, _ count: Int, _ stream: SteadyStream) throws -> StormingFrontEnd.Lives {
      let result = Mutex<(lives: StormingFrontEnd.Lives, errors: [String], running: Int)>((.init(), [], 0))
      result.withLock { $0.running = Self.ports }
      var threads: [Box] = []
      for port in 0..<Self.ports {
        let socket = lab.socket("storm\(port)")
        let share = count / Self.ports + (port < count % Self.ports ? 1 : 0)
        threads.append(
          Box(
            try Thread(name: "storm\(port)") {
              let frontEnd = StormingFrontEnd(socket, number: UInt8(port))
              var failure: String?
              do { for _ in 0..<share { try frontEnd.live() } } catch { failure = "storm\(port): \(error)" }
              result.withLock {
                $0.lives = $0.lives + frontEnd.lives
                if let failure { $0.errors.append(failure) }
                $0.running -= 1
              }
            }))
      }
      while result.withLock({ $0.running > 0 }) { stream.turn() }
      for thread in threads { thread.join() }
      let (lives, errors, _) = result.withLock { $0 }
      guard errors.isEmpty else { throw HarnessError(errors.joined(separator: "; ")) }
      for port in 0..<Self.ports {
        try eventually("storm\(port) sees its last front-end go") {
          try lab.interface("storm\(port)", "status:status") == "disconnected"
        }
      }
      return lives
    }

    private func footprint(_ lab: Lab) throws -> Footprint {
      guard let process = lab.switchd?.pid else { throw HarnessError("the switch does not run") }
      return try Footprint(of: process)
    }

    /// A thread in an array.
    private final class Box {
      private var thread: Thread?
      init(_ thread: consuming Thread) { self.thread = consume thread }
      func join() { thread.take()?.join() }
    }
  }
}
