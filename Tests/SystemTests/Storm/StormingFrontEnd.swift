import Glibc
import Linux
import Seeded
import VhostUser
import Virtio
import VirtioTesting

/// A front-end that comes, says some or all of what has to be said, sends frames, and is gone without a word: anywhere
/// between two messages, within one, or with frames under way. Then the next.
///
/// One thread.
final class StormingFrontEnd {
  /// What its lives came to.
  struct Lives: Equatable {
    /// Ended before all had been said; within a message.
    var negotiating = 0
    var midMessage = 0
    /// Ended while frames were under way.
    var forwarding = 0
    /// Frames the switch took of it.
    var framesTaken = 0
    var total: Int { negotiating + midMessage + forwarding }

    static func + (left: Lives, right: Lives) -> Lives {
      Lives(
        negotiating: left.negotiating + right.negotiating, midMessage: left.midMessage + right.midMessage,
        forwarding: left.forwarding + right.forwarding, framesTaken: left.framesTaken + right.framesTaken)
    }
  }

  private(set) var lives = Lives()
  private let socket: String
  private var random: SeededRandom
  /// The last byte of its address.
  private let number: UInt8

  init(_ socket: String, number: UInt8) {
    self.socket = socket
    self.number = number
    random = SeededRandom(seed: UInt64(number))
  }

  /// One life.
  func live() throws {
    let features: VirtioFeatures = [
      [.version1], [.version1, .mergeableReceiveBuffers, .eventIndex], [.indirectDescriptors],
      [.version1, .packedRing], [.version1, .packedRing, .mergeableReceiveBuffers, .eventIndex, .inOrder],
    ].randomElement(using: &random)!
    let pairs = Int.random(in: 1...4, using: &random)
    let driver = try GuestDriver(
      ram: GuestRAM(size: 2 << 20), features: features, ringSize: 64, pairs: pairs)
    for pair in driver.pairs { pair.post(32, sizes: [2048]) }
    let frontEnd = try ScriptedFrontEnd(connecting: socket)
    let messages = Self.messages(driver)
    switch Int.random(in: 0..<8, using: &random) {
    case 0:
      try say(messages.prefix(Int.random(in: 0..<messages.count, using: &random)), frontEnd)
      lives.negotiating += 1
    case 1:
      let index = Int.random(in: 0..<messages.count, using: &random)
      try say(messages.prefix(index), frontEnd)
      let bytes = Message(messages[index].request, payload: messages[index].payload).bytes
      let part = Int.random(in: 1..<bytes.count, using: &random)
      try frontEnd.sendRaw(Array(bytes.prefix(part)), messages[index].descriptors)
      lives.midMessage += 1
    default:
      try say(messages[...], frontEnd)
      try forward(driver)
      lives.forwarding += 1
    }
  }

  private typealias Line = (request: Request, payload: [UInt8], descriptors: [Int32])

  private func say(_ lines: ArraySlice<Line>, _ frontEnd: ScriptedFrontEnd) throws {
    for line in lines {
      try frontEnd.send(line.request, line.payload, line.descriptors)
      if line.request == .getFeatures || line.request == .getProtocolFeatures { _ = try frontEnd.receive() }
    }
  }

  /// All that is said up to the first frame.
  private static func messages(_ driver: GuestDriver) -> [Line] {
    let features = driver.features.union(.protocolFeatures)
    let wanted: ProtocolFeatures = [.replyAcknowledgement, .multiqueue]
    var lines: [Line] = [
      (.getFeatures, [], []), (.getProtocolFeatures, [], []),
      (.setProtocolFeatures, littleEndian(wanted.rawValue), []), (.setOwner, [], []),
      (.setFeatures, littleEndian(features.rawValue), []),
      (
        .setMemoryTable, ScriptedFrontEnd.memoryTable(driver.ram.regions),
        driver.ram.regions.map { _ in driver.ram.file.raw }
      ),
    ]
    for (index, queue) in driver.queues.enumerated() {
      let index = UInt32(index)
      let number = littleEndian(UInt64(index))
      lines += [
        (.setVringSize, VringState(index: index, number: UInt32(queue.size)).bytes, []),
        (.setVringBase, VringState(index: index, number: queue.base).bytes, []),
        (.setVringAddress, ScriptedFrontEnd.addresses(queue, index: index).bytes, []),
        (.setVringKick, number, [queue.kick.raw]), (.setVringCall, number, [queue.call.raw]),
        (.setVringEnable, VringState(index: index, number: 1).bytes, []),
      ]
    }
    return lines
  }

  /// Sends to everybody and takes what comes, until some of it has been seen to move; what is offered then is not
  /// waited for.
  private func forward(_ driver: GuestDriver) throws {
    let frame =
      [UInt8](repeating: 0xFF, count: 6) + [2, 0, 0, 0, 1, number] + [UInt8](repeating: 0, count: 300)
    let wanted = Int.random(in: 1...200, using: &random)
    var taken = 0
    try eventually("the switch takes a storming front-end's frames") {
      let before = taken
      for pair in driver.pairs {
        for _ in 0..<64 where pair.send(frame) {}
        while pair.receive() != nil {}
        taken += pair.reclaim()
      }
      return taken >= wanted || before > 0
    }
    for pair in driver.pairs { for _ in 0..<32 { _ = pair.send(frame) } }
    lives.framesTaken += taken
  }
}
