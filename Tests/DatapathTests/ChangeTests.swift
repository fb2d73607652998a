import Glibc
import Linux
import Packet
import Ports
import Testing

@testable import Datapath

/// Configuration changing under traffic, with several poll threads.
@Suite struct ChangeTests {
  @Test(arguments: [1, 3])
  func portsComeAndGoWithoutAFrameLostElsewhere(threads: Int) throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk], threads: threads)
    let total = 20_000
    var sent = 0
    var received = 0
    var visitors: [PortID] = []
    let a: UInt64 = 0x0200_0000_000A
    let b: UInt64 = 0x0200_0000_000B
    bench.send(frame(to: a, from: b), at: 1)
    _ = bench.received(at: 0)
    while received < total {
      for _ in 0..<64 where sent < total && sent - received < 2000 {
        #expect(bench.ports[0].port.send(frame(to: b, from: a)))
        sent += 1
      }
      if visitors.count < 8 {
        visitors.append(
          try bench.datapath.addPort(MemoryPort(name: "v\(sent)"), to: bench.bridge, vlan: trunk))
      } else {
        bench.datapath.removePort(visitors.removeFirst())
      }
      received += bench.received(at: 1).count
    }
    #expect(received == total)
    #expect(bench.statistics(0).receiveDrops == 0)
    #expect(bench.statistics(1).transmitDrops == 0)
  }

  @Test func manyThreadsShareOneOutput() throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk, trunk, trunk], threads: 3)
    let target: UInt64 = 0x0200_0000_00FF
    bench.send(frame(to: .max >> 16, from: target), at: 3)
    for index in 0..<3 { _ = bench.received(at: index) }
    let each = 5000
    var sent = [0, 0, 0]
    var received = 0
    while received < 3 * each {
      for source in 0..<3 {
        for _ in 0..<32 where sent[source] < each && sent.reduce(0, +) - received < 3000 {
          #expect(bench.ports[source].port.send(frame(to: target, from: 0x0200_0000_0000 + UInt64(source))))
          sent[source] += 1
        }
      }
      received += bench.received(at: 3).count
    }
    #expect(bench.statistics(3)[.transmittedFrames] == UInt64(3 * each))
    for source in 0..<3 { #expect(bench.statistics(source)[.receivedFrames] == UInt64(each)) }
  }

  /// Poll threads keep memory for each index: ports that come and go must not use up ever higher ones.
  @Test func indicesOfRemovedPortsAreUsedAgain() throws {
    let bench = try Bench([VLANConfiguration()])
    var indices: Set<UInt16> = []
    for round in 0..<1000 {
      let id = try bench.datapath.addPort(MemoryPort(name: "v\(round)", capacity: 1), to: bench.bridge)
      indices.insert(id.index)
      bench.datapath.removePort(id)
    }
    #expect(indices.max()! < 256)
    #expect(indices.count > 100)
  }

  @Test func anIdleDatapathSleeps() throws {
    let bench = try Bench([VLANConfiguration()])
    #expect(
      bench.loop.run(atMost: 10_000) {
        bench.datapath.pollThreadStatistics()[0].sleeps > 0
          || {
            usleep(100); return false
          }()
      })
  }
}
