import Glibc
import Linux
import Testing
import VhostUser
import VirtioTesting

// SECURITY: what a front-end says, it can say for ever.
extension System {
  @Suite struct Repetition {
    /// How often each message is sent. The whole proof takes some minutes, and release builds of switch and test:
    ///
    ///     SWITCHD_REPETITIONS=1000000 swift test -c release -Xswiftc -enable-testing --filter Repetition
    private static let count = getenv("SWITCHD_REPETITIONS").flatMap { Int(String(cString: $0)) } ?? 3000

    @Test func `Row 4: messages without end leave descriptors and memory of the switch flat`() throws {
      try withLab { lab in
        try lab.addVhostPort("vm1")
        let driver = try GuestDriver()
        let frontEnd = try ScriptedFrontEnd(connecting: lab.socket("vm1")) { sched_yield() }
        try frontEnd.negotiate(driver.features, .implemented)
        try frontEnd.start(driver)
        try frontEnd.send(.setStatus, littleEndian(15 as UInt64))
        let process = try #require(lab.switchd?.pid)
        let beginning = try Footprint(of: process)
        for kind in Self.kinds(driver) {
          // The first round lets buffers grow to the size they will have.
          try say(kind, 500, frontEnd)
          let before = try Footprint(of: process)
          try say(kind, Self.count, frontEnd)
          let after = try Footprint(of: process)
          #expect(after.descriptors == before.descriptors, "\(kind.name)")
          #expect(after.mappings == before.mappings, "\(kind.name)")
          #expect(after.kilobytes < before.kilobytes + 1024, "\(kind.name): \(before), then \(after)")
        }
        let kinds = Self.kinds(driver).count
        print("\(Self.count) of each of \(kinds) messages: \(beginning), then \(try Footprint(of: process))")
        #expect(!lab.log.contains("was disconnected"))
      }
    }

    private struct Kind {
      var name: String
      var request: UInt32
      var payload: [UInt8] = []
      var descriptors: [Int32] = []
      var isAnswered = false
    }

    private func say(_ kind: Kind, _ count: Int, _ frontEnd: ScriptedFrontEnd) throws {
      do { try send(kind, count, frontEnd) } catch { throw HarnessError("\(kind.name): \(error)") }
    }

    private func send(_ kind: Kind, _ count: Int, _ frontEnd: ScriptedFrontEnd) throws {
      // So many answers are awaited at a time: the switch does not keep more for one that does not read them.
      var awaited = 0
      func takeAnswers() throws {
        while awaited > 0 {
          _ = try frontEnd.receive(atMost: 20_000)
          awaited -= 1
        }
      }
      for number in 1...count {
        // Some ask for an acknowledgement: nothing is lost when the socket is full, and both answers are tried.
        let needReply = !kind.isAnswered && number % 16 == 0
        try frontEnd.send(kind.request, kind.payload, kind.descriptors, needReply: needReply)
        if kind.isAnswered || needReply { awaited += 1 }
        if awaited >= (kind.isAnswered ? 64 : 2) { try takeAnswers() }
      }
      try takeAnswers()
      // All of them have been handled when this is answered.
      _ = try frontEnd.askNumber(.getFeatures)
    }

    /// Each message of a running session, and some that no session has.
    private static func kinds(_ driver: GuestDriver) -> [Kind] {
      let queue = driver.receiveQueue
      func kind(
        _ request: Request, _ payload: [UInt8] = [], _ descriptors: [Int32] = [], answered: Bool = false
      ) -> Kind {
        Kind(
          name: request.name, request: request.rawValue, payload: payload, descriptors: descriptors,
          isAnswered: answered)
      }
      let ring = littleEndian(0 as UInt64)
      let state = VringState(index: 0, number: UInt32(queue.size))
      let answered: [Request] = [
        .getFeatures, .getProtocolFeatures, .getQueueCount, .getStatus, .getMaximumMemorySlots,
      ]
      return answered.map { kind($0, answered: true) } + [
        kind(.setOwner), kind(.setVringKick, ring, [queue.kick.raw]),
        kind(.setVringKick, littleEndian(VringDescriptorIndex.noDescriptor)),
        kind(.setVringCall, ring, [queue.call.raw]), kind(.setVringError, ring, [queue.call.raw]),
        kind(.setVringSize, state.bytes),
        kind(.setVringAddress, ScriptedFrontEnd.addresses(queue, index: 0).bytes),
        kind(.setVringEnable, VringState(index: 0, number: 1).bytes),
        kind(
          .setMemoryTable, ScriptedFrontEnd.memoryTable(driver.ram.regions),
          driver.ram.regions.map { _ in driver.ram.file.raw }),
        kind(.netSetMTU, littleEndian(1500 as UInt64)), kind(.setStatus, littleEndian(15 as UInt64)),
        kind(.sendRARP, [2, 0, 0, 0, 0, 9, 0, 0]), kind(.setLogDescriptor, [], [queue.call.raw]),
        kind(
          .getConfig, ScriptedFrontEnd.configuration([UInt8](repeating: 0, count: 12), offset: 0),
          answered: true),
        // Of features that were not offered, or unknown: with descriptors nobody asked for.
        kind(.gpuSetSocket, [], [queue.call.raw]), kind(.setInflightDescriptor, [1, 2, 3], [queue.call.raw]),
        Kind(name: "unknown", request: 999, payload: ring, descriptors: [queue.call.raw, queue.kick.raw]),
        // These stop the ring, and so come last.
        kind(.getVringBase, state.bytes, answered: true),
        kind(.setVringBase, VringState(index: 0, number: 7).bytes),
        kind(.resetOwner), kind(.resetDevice),
      ]
    }
  }
}
