import Seeded
import Packet
import Ports
import Testing

@testable import Datapath

/// VLANs against a model written from the meaning of the words, for random ports and frames.
@Suite struct VLANTests {
  private let a: UInt64 = 0x0200_0000_000A
  private let b: UInt64 = 0x0200_0000_000B

  @Test func anAccessPortSpeaksUntagged() throws {
    let bench = try Bench([
      VLANConfiguration(tag: 10), VLANConfiguration(tag: 10), VLANConfiguration(tag: 20), VLANConfiguration(),
    ])
    let plain = frame(to: b, from: a)
    bench.send(plain, at: 0)
    #expect(bench.received(at: 1) == [plain])
    #expect(bench.received(at: 2).isEmpty)
    #expect(bench.received(at: 3) == [frame(to: b, from: a, tag: 10)])
    bench.send(frame(to: a, from: b, tag: 10), at: 0)
    #expect(bench.statistics(0)[.vlanNotAllowed] == 1)
  }

  @Test func aPriorityTagIsNoVLAN() throws {
    let bench = try Bench([VLANConfiguration(tag: 10), VLANConfiguration(), VLANConfiguration(tag: 10)])
    bench.send(frame(to: b, from: a, tag: 0xE000), at: 0)
    // Its priority is kept where there is a tag to keep it in.
    #expect(bench.received(at: 1) == [frame(to: b, from: a, tag: 0xE000 | 10)])
    #expect(bench.received(at: 2) == [frame(to: b, from: a)])
    var provider = frame(to: b, from: a, tag: 0x4000)
    provider.replaceSubrange(12..<14, with: [0x88, 0xA8])
    bench.send(provider, at: 0)
    provider[15] = 10
    #expect(bench.received(at: 1) == [provider])
  }

  @Test func aPriorityTagThatSaysSomethingStaysOutsideOfVLANs() throws {
    let bench = try Bench([VLANConfiguration(), VLANConfiguration(), VLANConfiguration(tag: 10)])
    bench.send(frame(to: b, from: a, tag: 0xE000), at: 0)
    #expect(bench.received(at: 1) == [frame(to: b, from: a, tag: 0xE000)])
    bench.send(frame(to: b, from: a, tag: 0), at: 0)
    #expect(bench.received(at: 1) == [frame(to: b, from: a)])
    #expect(bench.received(at: 2).isEmpty)
  }

  @Test func anotherVLANsAddressIsUnknown() throws {
    let bench = try Bench([VLANConfiguration(), VLANConfiguration(), VLANConfiguration()])
    bench.send(frame(to: a, from: b, tag: 1), at: 1)
    for index in 0..<3 { _ = bench.received(at: index) }
    bench.send(frame(to: b, from: a, tag: 2), at: 0)
    #expect(bench.received(at: 2).count == 1)
    bench.send(frame(to: b, from: a, tag: 1), at: 0)
    #expect(bench.received(at: 2).isEmpty)
  }

  @Test func offloadsMoveWithTheTag() throws {
    let bench = try Bench([VLANConfiguration(), VLANConfiguration(tag: 5)])
    var payload = [UInt8](repeating: 0, count: 40)
    payload[0] = 0x45
    payload[9] = 17
    let offload = Offload(flags: Offload.Flag.needsChecksum, checksumStart: 18 + 20, checksumOffset: 6)
    bench.send(frame(to: b, from: a, tag: 5, type: 0x0800, payload: payload), at: 0, offload: offload)
    let got = bench.ports[1].port.next()
    #expect(got?.bytes == frame(to: b, from: a, type: 0x0800, payload: payload))
    #expect(got?.offload.checksumStart == UInt16(34))
  }

  @Test func equalsTheModelForRandomPortsAndFrames() throws {
    var random = SeededRandom(seed: 2)
    for _ in 0..<12 {
      let vlans = (0..<5).map { _ in randomConfiguration(&random) }
      let bench = try Bench(vlans)
      for _ in 0..<60 {
        let tag: UInt16? = Bool.random(using: &random) ? nil : UInt16.random(in: 0..<4, using: &random)
        let ingress = Int.random(in: 0..<5, using: &random)
        bench.send(frame(to: .max >> 16, from: a, tag: tag), at: ingress)
        let vlan = admitted(Int(tag ?? 0), by: vlans[ingress])
        for output in 0..<5 {
          let expected: [[UInt8]]
          if let vlan, output != ingress, vlans[output].carries(vlan) {
            expected = [frame(to: .max >> 16, from: a, tag: vlans[output].tags(vlan) ? UInt16(vlan) : nil)]
          } else {
            expected = []
          }
          #expect(
            bench.received(at: output) == expected,
            "tag \(tag.map(String.init) ?? "none") from \(vlans[ingress]) to \(vlans[output])")
        }
      }
    }
  }

  /// The VLAN a frame tagged `tag` (0: none) belongs to behind `port`, or nil if it may not enter.
  private func admitted(_ tag: Int, by port: VLANConfiguration) -> Int? {
    if port.mode == .access { return tag == 0 ? port.tag : nil }
    let vlan = tag == 0 && port.mode != .trunk ? port.tag : tag
    return port.carries(vlan) ? vlan : nil
  }

  private func randomConfiguration(_ random: inout SeededRandom) -> VLANConfiguration {
    let mode = VLANConfiguration.Mode.allCases.randomElement(using: &random)!
    let trunks = Set((0..<4).filter { _ in Bool.random(using: &random) })
    return VLANConfiguration(mode: mode, tag: Int.random(in: 0..<4, using: &random), trunks: trunks)
  }
}
