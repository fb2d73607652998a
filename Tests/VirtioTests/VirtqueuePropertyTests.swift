import Glibc
import Seeded
import Testing
import VirtioTesting

@testable import Virtio

/// Random buffers through driver and device of either layout, against a plain list of them.
@Suite struct VirtqueuePropertyTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var features: VirtioFeatures
    var size: Int
    var testDescription: String { "0x\(String(features.rawValue, radix: 16)), \(size) entries" }
  }

  static let cases: [Case] = RingFixture.layoutsAndEvents.flatMap { features in
    [VirtioFeatures(), .inOrder].flatMap { order in
      [2, 4, 64, 256, 1024].map {
        Case(features: features.union(order).union(.indirectDescriptors), size: $0)
      }
    }
  }

  /// What the model knows of a buffer.
  private struct Offered {
    var id: UInt16
    /// Where its bytes lie in this process, one for each buffer of the chain.
    var starts: [UnsafeMutableRawPointer?]
    var lengths: [Int]
    var isWritable: Bool
  }

  @Test(arguments: cases)
  func `Chains of any length and kind arrive whole, and come back with what was written`(_ one: Case) throws {
    let ring = try RingFixture(one.features, size: one.size)
    let device = try ring.device()
    var random = SeededRandom(seed: UInt64(one.size) &* 31 &+ one.features.rawValue)
    // Behind the rings' and tables' place, of which indirect ones take more and more.
    let base = UInt64(ring.ram.size) / 2
    var offered: ArraySlice<Offered> = []
    var mistakes: [String] = []
    var total = 0
    for round in 0..<1500 where mistakes.isEmpty {
      for _ in 0..<Int.random(in: 0...6, using: &random) {
        if let buffer = offer(ring, base, &random) { offered.append(buffer) }
      }
      if Int.random(in: 0..<4, using: &random) > 0 { ring.driver.publish() }
      let count = device.pending(atMost: Int.random(in: 1...64, using: &random))
      guard count >= 0, count <= offered.count else {
        mistakes.append("round \(round): \(count) buffers of \(offered.count)")
        break
      }
      // Some are looked at and left for the next round.
      let taken = Int.random(in: 0...count, using: &random)
      let elements = (0..<taken).map { device.element($0) }
      for (index, buffer) in offered.prefix(taken).enumerated() {
        if let mistake = compare(ring, device, index, buffer) {
          mistakes.append("round \(round): \(mistake)")
        }
      }
      device.pop(taken)
      let written = elements.map { _ in UInt32.random(in: 0..<5000, using: &random) }
      for (element, length) in zip(elements, written) { device.fill(element, length: length) }
      if device.flush() != (taken > 0) { mistakes.append("round \(round): flush") }
      for length in written {
        let (back, buffer) = (ring.driver.complete(), offered.removeFirst())
        if back?.head != buffer.id || back?.length != length {
          mistakes.append("round \(round): \(String(describing: back)) for \(buffer.id)")
        }
      }
      if ring.driver.complete() != nil { mistakes.append("round \(round): one too many") }
      total += taken
    }
    #expect(mistakes == [])
    #expect(total > 500)
  }

  private func offer(_ ring: RingFixture, _ base: UInt64, _ random: inout SeededRandom) -> Offered? {
    let longest = min(ring.driver.size, [1, 2, 4, 64].randomElement(using: &random)!)
    let count = Int.random(in: 1...longest, using: &random)
    let isWritable = Bool.random(using: &random)
    let buffers = (0..<count).map { _ in
      GuestQueue.Buffer(
        base + UInt64.random(in: 0..<1 << 20, using: &random), Int.random(in: 1..<3000, using: &random),
        isWritable: isWritable)
    }
    guard let id = ring.driver.add(buffers, indirect: Bool.random(using: &random)) else { return nil }
    return Offered(
      id: id, starts: buffers.map { ring.memory.map.translate($0.address, 1) },
      lengths: buffers.map { Int($0.length) }, isWritable: isWritable)
  }

  /// What is wrong about the `index`-th pending buffer, if anything.
  private func compare(_ ring: RingFixture, _ device: RingDevice, _ index: Int, _ buffer: Offered) -> String?
  {
    guard device.element(index).id == buffer.id else {
      return "\(device.element(index).id) instead of \(buffer.id)"
    }
    let chain = ring.walk(device, index, writable: buffer.isWritable)
    guard chain.outcome == .complete, chain.length == buffer.lengths.reduce(0, +) else { return "\(chain)" }
    let pieces = (0..<chain.pieceCount).map { ring.pieces[$0] }
    guard pieces.map(\.iov_base) == buffer.starts, pieces.map(\.iov_len) == buffer.lengths else {
      return "the bytes of \(buffer.id) lie elsewhere"
    }
    return nil
  }

  /// Both sides sleep when they see nothing to do, and wake only by the other's notification. None ever sleeps over work:
  /// every step is taken in any order chance likes, between the two of them.
  @Test(arguments: cases)
  func `No notification is lost, and every one is asked for`(_ one: Case) throws {
    let ring = try RingFixture(one.features, size: one.size)
    var sleepers = Sleepers(driver: ring.driver, device: try ring.device())
    var random = SeededRandom(seed: UInt64(one.size) &+ one.features.rawValue)
    for _ in 0..<20_000 where sleepers.mistakes.isEmpty { sleepers.step(&random) }
    #expect(sleepers.mistakes == [])
    #expect(sleepers.served > 1000)
    #expect(sleepers.kicks > 100 && sleepers.calls > 100, "\(sleepers.kicks) kicks, \(sleepers.calls) calls")
  }
}

/// A driver and a device that poll for a while, then sleep.
private struct Sleepers {
  let driver: GuestQueue
  let device: RingDevice
  private(set) var mistakes: [String] = []
  private(set) var (served, kicks, calls) = (0, 0, 0)

  private var (driverSleeps, deviceSleeps) = (false, false)
  /// The device asked not to be kicked, and has not armed since.
  private var deviceRefuses = false
  /// Published and not taken; completed and not collected.
  private var (waiting, done) = (0, 0)
  private var unpublished = 0

  init(driver: GuestQueue, device: RingDevice) {
    self.driver = driver
    self.device = device
  }

  mutating func step(_ random: inout SeededRandom) {
    switch Int.random(in: 0..<6, using: &random) {
    case 0, 1: if !driverSleeps { send(Int.random(in: 1...3, using: &random)) }
    case 2: if !driverSleeps { collect(Bool.random(using: &random)) }
    case 3, 4: if !deviceSleeps { serve(Int.random(in: 1...4, using: &random)) }
    default: if !deviceSleeps { restDevice() }
    }
    // Asleep over work, with nobody awake who would notice, is what must not be.
    if deviceSleeps && waiting > 0 { mistakes.append("the device sleeps over \(waiting) buffers") }
    if driverSleeps && done > 0 { mistakes.append("the driver sleeps over \(done) buffers") }
    if driverSleeps && deviceSleeps { driverSleeps = false }
  }

  private mutating func send(_ count: Int) {
    for _ in 0..<count where driver.add([.init(0x100, 64, isWritable: false)]) != nil { unpublished += 1 }
    waiting += unpublished
    let isNew = unpublished > 0
    unpublished = 0
    guard driver.publish(), isNew else { return }
    if deviceRefuses && !deviceSleeps && !driver.hasEventIndex {
      mistakes.append("a kick for one that polls")
    }
    kicks += 1
    wakeDevice()
  }

  private mutating func collect(_ thenSleep: Bool) {
    driver.stayAwake()
    while driver.complete() != nil { done -= 1 }
    if thenSleep { driverSleeps = driver.sleep() }
  }

  private mutating func serve(_ count: Int) {
    let found = device.turn(atMost: count)?.count ?? -1
    guard found > 0 else {
      if found < 0 || waiting > 0 { mistakes.append("\(found) found of \(waiting)") }
      return
    }
    served += found
    waiting -= found
    done += found
    guard device.notify() else { return }
    calls += 1
    driverSleeps = false
  }

  private mutating func restDevice() {
    deviceSleeps = device.arm()
    if deviceSleeps { deviceRefuses = false } else { wakeDevice() }
  }

  private mutating func wakeDevice() {
    deviceSleeps = false
    deviceRefuses = true
    device.disarm()
  }
}
