import Packet
import Ports
import Testing

@testable import Datapath

/// One learning bridge, end to end through a real poll thread.
@Suite struct ForwardingTests {
  private let trunk = VLANConfiguration()
  private let a: UInt64 = 0x0200_0000_000A
  private let b: UInt64 = 0x0200_0000_000B

  @Test func floodsTheUnknownAndSwitchesTheKnown() throws {
    let bench = try Bench([trunk, trunk, trunk])
    let first = frame(to: b, from: a)
    bench.send(first, at: 0)
    #expect(bench.received(at: 0).isEmpty)
    #expect(bench.received(at: 1) == [first])
    #expect(bench.received(at: 2) == [first])
    let reply = frame(to: a, from: b)
    bench.send(reply, at: 1)
    #expect(bench.received(at: 0) == [reply])
    #expect(bench.received(at: 2).isEmpty)
    bench.send(first, at: 0)
    #expect(bench.received(at: 1) == [first])
    #expect(bench.received(at: 2).isEmpty)
  }

  @Test func followsAnAddressThatMoves() throws {
    let bench = try Bench([trunk, trunk, trunk])
    bench.send(frame(to: b, from: a), at: 0)
    bench.send(frame(to: b, from: a), at: 1)
    for index in 0..<3 { _ = bench.received(at: index) }
    bench.send(frame(to: a, from: b), at: 2)
    #expect(bench.received(at: 0).isEmpty)
    #expect(bench.received(at: 1).count == 1)
  }

  @Test func deliversEveryByteOfFramesOfEveryLength() throws {
    let bench = try Bench([trunk, trunk])
    for length in [0, 1, 31, 32, 49, 50, 51, 52, 100, 1486, 9000, 65_000] {
      let bytes = frame(to: b, from: a, payload: (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7) })
      bench.send(bytes, at: 0)
      #expect(bench.received(at: 1) == [bytes], "payload of \(length) bytes")
    }
  }

  @Test func countsEveryFrameAndEveryDropByName() throws {
    let bench = try Bench([trunk, trunk])
    let counted: [(DropReason, [UInt8])] = [
      (.runt, [1, 2, 3]),
      (.runt, Array(frame(to: b, from: a, tag: 5).prefix(16))),
      (.badSource, frame(to: b, from: 0x0100_0000_0001)),
      (.reservedAddress, frame(to: 0x0180_C200_000E, from: a)),
    ]
    for (index, (reason, bytes)) in counted.enumerated() {
      bench.send(bytes, at: 0)
      #expect(bench.received(at: 1).isEmpty)
      let same = counted.prefix(index + 1).filter { $0.0 == reason }.count
      #expect(bench.statistics(0)[reason] == UInt64(same))
    }
    bench.send(frame(to: a, from: b), at: 1)
    _ = bench.received(at: 0)
    bench.send(frame(to: a, from: b), at: 1)
    bench.send(frame(to: b, from: b), at: 1)
    #expect(bench.statistics(1)[.noOutput] == 1)
    #expect(bench.statistics(0)[.transmittedFrames] == 2)
    #expect(bench.statistics(1)[.receivedFrames] == 3)
    let total = bench.statistics(0)
    #expect(total[.receivedFrames] == total.receiveDrops + bench.statistics(1)[.transmittedFrames])
  }

  @Test func aFullReceiverDropsByNameAndHoldsNobodyUp() throws {
    let bench = try Bench([trunk, trunk, trunk])
    bench.send(frame(to: a, from: b), at: 1)
    for index in [0, 2] { _ = bench.received(at: index) }
    for _ in 0..<4100 { bench.send(frame(to: b, from: a), at: 0) }
    let statistics = bench.statistics(1)
    #expect(statistics[.transmittedFrames] == 4096)
    #expect(statistics[.receiverFull] == 4)
    bench.send(frame(to: 0x0200_0000_000C, from: a), at: 0)
    #expect(bench.received(at: 2).count == 1)
  }

  @Test func forwardsReservedAddressesWhereAsked() throws {
    var settings = BridgeSettings()
    settings.forwardsReserved = true
    let bench = try Bench([trunk, trunk], settings: settings)
    bench.send(frame(to: 0x0180_C200_0000, from: a), at: 0)
    #expect(bench.received(at: 1).count == 1)
  }

  @Test func bridgesKeepToThemselves() throws {
    let bench = try Bench([trunk, trunk])
    let other = bench.datapath.addBridge("br1")
    let stranger = MemoryPort(name: "stranger")
    _ = try bench.datapath.addPort(stranger, to: other)
    bench.send(frame(to: .max >> 16, from: a), at: 0)
    #expect(bench.received(at: 1).count == 1)
    #expect(stranger.next() == nil)
    #expect(bench.datapath.learnedAddresses(of: other).isEmpty)
  }

  @Test func aRemovedPortTakesItsAddressesAlong() throws {
    let bench = try Bench([trunk, trunk, trunk])
    bench.send(frame(to: a, from: b), at: 1)
    #expect(bench.datapath.learnedAddresses(of: bench.bridge).map(\.address.bits) == [b])
    bench.remove(1)
    #expect(bench.datapath.learnedAddresses(of: bench.bridge).isEmpty)
    _ = bench.received(at: 1)
    bench.send(frame(to: b, from: a), at: 0)
    #expect(bench.received(at: 1).count == 1)
  }

  @Test func aStartThatFailsLeavesNothing() throws {
    let bench = try Bench([trunk, trunk])
    let failing = FailingPort()
    #expect(throws: PortError("failing: refused")) { try bench.datapath.addPort(failing, to: bench.bridge) }
    #expect(failing.isClosed)
    bench.send(frame(to: b, from: a), at: 0)
    #expect(bench.received(at: 1).count == 1)
  }

  @Test func agesAndFlushes() throws {
    let bench = try Bench([trunk, trunk])
    bench.send(frame(to: b, from: a, tag: 9), at: 0)
    let entries = bench.datapath.learnedAddresses(of: bench.bridge)
    #expect(entries.map(\.vlan) == [9])
    #expect(entries.map(\.port) == [bench.ports[0].id])
    bench.datapath.flushAddresses(of: bench.bridge)
    #expect(bench.datapath.learnedAddresses(of: bench.bridge).isEmpty)
  }

  @Test func newPollThreadsKeepCountersAndAddresses() throws {
    let bench = try Bench([trunk, trunk])
    bench.send(frame(to: b, from: a), at: 0)
    _ = bench.received(at: 1)
    var settings = PollSettings()
    settings.cpus = [0, 0]
    try bench.datapath.apply(settings)
    #expect(bench.datapath.pollThreadStatistics().count == 2)
    bench.send(frame(to: b, from: a), at: 0)
    #expect(bench.received(at: 1).count == 1)
    #expect(bench.statistics(0)[.receivedFrames] == 2)
    #expect(bench.statistics(1)[.transmittedFrames] == 2)
  }
}

/// A port that cannot start.
private final class FailingPort: Port {
  let name = "failing"
  private(set) var isClosed = false
  private let inner = MemoryPort(name: "inner")
  var io: PortIO { inner.io }
  var receiveQueueCount: Int { 1 }
  var status: PortStatus { PortStatus() }
  func start(_ environment: PortEnvironment) throws(PortError) { throw PortError("failing: refused") }
  func reconfigure(_ configuration: PortConfiguration) throws(PortError) -> Bool { true }
  func close() { isClosed = true }
}
