import Testing

// The same with a driver that polls. Of DPDK's, one that listens waits for the switch to come back; one that connected
// does not try again, and is started anew.
extension System {
  @Suite(.needs("dpdk-testpmd")) struct TestpmdReconnection {
    @Test(arguments: [1, 4])
    func `Testpmd and the switch agree about every frame after either was killed`(queues: Int) throws {
      let rows = TestpmdRow.reconnecting(queues: queues)
      let listening = rows.prefix { $0.device.role == .listens }.count
      try withLab { lab in
        let pairs = try TestpmdPairs(lab, rows)
        try check("front-end killed and back", rows, pairs, rows.indices) {
          try pairs.testpmd.start(.flowgen, ports: Array(0..<2 * rows.count))
          pairs.testpmd.kill()
          for port in 0..<2 * rows.count {
            try eventually("p\(port) saw it go") { try lab.interface("p\(port)", "link_state") == "down" }
          }
          try pairs.relaunch()
          try pairs.awaitReady()
        }
        try check("switch killed and back", rows, pairs, 0..<listening) {
          try pairs.testpmd.start(.flowgen, ports: Array(0..<2 * listening))
          lab.switchd?.kill()
          try pairs.testpmd.stop()
          try lab.startSwitch()
          for row in 0..<listening { try pairs.awaitLinks(row) }
          try pairs.resume(0..<listening)
        }
        try check("both restarted, switch first", rows, pairs, rows.indices) {
          lab.switchd?.kill()
          pairs.testpmd.kill()
          try lab.startSwitch()
          try pairs.relaunch()
          try pairs.awaitReady()
        }
        try check("both restarted, front-end first", rows, pairs, 0..<listening) {
          lab.switchd?.kill()
          pairs.testpmd.kill()
          try pairs.relaunch(listening)
          try lab.startSwitch()
          try pairs.awaitReady()
        }
      }
    }

    /// Runs `body`, after which frames of `range` of the pairs have to be forwarded and accounted for again.
    private func check(
      _ feature: String, _ rows: [TestpmdRow], _ pairs: TestpmdPairs, _ range: Range<Int>,
      _ body: () throws -> Void
    ) throws {
      try Matrix.check(TestpmdPairs.frontEnd, [feature]) {
        var current = ""
        do {
          try body()
          try pairs.mark()
          for index in range {
            current = ", " + rows[index].testDescription
            for mode in rows[index].modes { try pairs.run(index, mode) }
          }
        } catch { throw HarnessError("\(feature)\(current): \(error)") }
      }
    }
  }
}
