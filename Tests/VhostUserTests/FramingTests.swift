import Linux
import Seeded
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// SECURITY: a stream socket keeps no borders between messages, and a front-end need not either.
@Suite struct FramingTests {
  private typealias Line = (bytes: [UInt8], descriptors: [Int32])

  @Test(arguments: 1...40 as ClosedRange<UInt64>)
  func `Row 5: a conversation cut and glued anywhere is understood the same`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let fixture = try SessionFixture()
    let driver = try GuestDriver()
    let lines = Self.conversation(driver)
    let longest = [1, 5, 40, 4000].randomElement(using: &random)!
    for chunk in Self.chunks(lines, longest, &random) {
      try fixture.frontEnd.sendRaw(chunk.bytes, chunk.descriptors)
      if Bool.random(using: &random) { fixture.serve() }
    }
    #expect(fixture.settle() == nil)
    #expect(fixture.session.memory?.descriptions == driver.ram.regions)
    #expect(fixture.session.isUsable(0) && fixture.session.isUsable(1))
    for (index, queue) in driver.queues.enumerated() {
      let expected = ScriptedFrontEnd.addresses(queue, index: UInt32(index))
      #expect(fixture.session.vrings[index].addresses == expected)
      #expect(openCopies(queue.kick.raw) == 2)
    }
    for _ in 0..<lines.count {
      #expect(try fixture.frontEnd.receive().request == Request.getFeatures.rawValue)
    }
  }

  /// All that starts a device, with a question after each line.
  private static func conversation(_ driver: GuestDriver) -> [Line] {
    func line(_ request: Request, _ payload: [UInt8] = [], _ descriptors: [Int32] = []) -> Line {
      (Message(request, payload: payload).bytes + Message(.getFeatures).bytes, descriptors)
    }
    var lines = [
      line(.setOwner), line(.setFeatures, littleEndian(driver.features.union(.protocolFeatures).rawValue)),
      line(.setMemoryTable, ScriptedFrontEnd.memoryTable(driver.ram.regions), [driver.ram.file.raw]),
    ]
    for (index, queue) in driver.queues.enumerated() {
      let (ring, number) = (UInt32(index), littleEndian(UInt64(index)))
      lines += [
        line(.setVringSize, VringState(index: ring, number: UInt32(queue.size)).bytes),
        line(.setVringBase, VringState(index: ring, number: 0).bytes),
        line(.setVringAddress, ScriptedFrontEnd.addresses(queue, index: ring).bytes),
        line(.setVringKick, number, [queue.kick.raw]), line(.setVringCall, number, [queue.call.raw]),
        line(.setVringEnable, VringState(index: ring, number: 1).bytes),
      ]
    }
    return lines
  }

  /// The conversation in pieces of up to `longest` bytes; descriptors come with the first byte of their message.
  private static func chunks(_ lines: [Line], _ longest: Int, _ random: inout SeededRandom) -> [Line] {
    var chunks: [Line] = []
    var pending: Line = ([], [])
    var length = Int.random(in: 1...longest, using: &random)
    func flush() {
      if !pending.bytes.isEmpty { chunks.append(pending) }
      pending = ([], [])
    }
    for line in lines {
      if !line.descriptors.isEmpty {
        flush()
        pending.descriptors = line.descriptors
      }
      for byte in line.bytes {
        pending.bytes.append(byte)
        guard pending.bytes.count >= length else { continue }
        flush()
        length = Int.random(in: 1...longest, using: &random)
      }
    }
    flush()
    return chunks
  }
}
