import Testing

// DPDK's virtio-user driver: an independent front-end that polls, and is far faster than a guest under emulation.
extension System {
  @Suite(.needs("dpdk-testpmd")) struct TestpmdFrontEnds {
    @Test func `The rows pair every two properties the driver can have at once`() {
      var met: Set<Set<String>> = []
      var values: [Set<String>] = []
      for row in TestpmdRow.all {
        for mode in row.modes {
          let texts = row.values(mode)
          if values.isEmpty { values = texts.map { _ in [] } }
          for (column, text) in texts.enumerated() {
            values[column].insert(text)
            for other in texts { met.insert([text, other]) }
          }
        }
      }
      for (column, left) in values.enumerated() {
        for text in left {
          for other in values[(column + 1)...].joined() {
            let isPossible = [text, other] != ["mergeable true", "vectorized true"]
            #expect(met.contains([text, other]) == isPossible, "\(text), \(other)")
          }
        }
      }
      #expect(values.map(\.count) == [2, 2, 2, 2, 2, 2, 3, 5])
    }

    @Test(arguments: [1, 4])
    func `Testpmd and the switch agree about every frame`(queues: Int) throws {
      let rows = TestpmdRow.all.filter { $0.device.queues == queues }
      try withLab { lab in
        let pairs = try TestpmdPairs(lab, rows)
        func run(_ index: Int) throws {
          let row = rows[index]
          try Matrix.check(TestpmdPairs.frontEnd, row.features) {
            do {
              try pairs.checkNegotiation(index)
              for mode in row.modes { try pairs.run(index, mode) }
            } catch { throw HarnessError("\(row.testDescription): \(error)") }
          }
        }
        for index in rows.indices where rows[index].precedesFlowgen { try run(index) }
        // Rings that were stopped and started go on where they were.
        try pairs.testpmd.ask("port stop all")
        try pairs.testpmd.ask("port start all")
        for index in rows.indices {
          try pairs.awaitLinks(index)
          try pairs.run(index, .mac)
        }
        for index in rows.indices where !rows[index].precedesFlowgen { try run(index) }
        #expect(try pairs.testpmd.quit() == 0)
      }
    }
  }
}
