import Glibc
import PacketTesting
import Seeded
import Testing

// The same frames through Open vSwitch and through us, by the same flows.
extension System {
  @Suite(.needs("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-ofctl", "ovs-vsctl"))
  struct FlowComparison {
    /// For a longer run, SWITCHD_COMPARISON=FIRST-LAST names other seeds.
    private static var seeds: ClosedRange<UInt64> {
      let text = getenv("SWITCHD_COMPARISON").map { String(cString: $0) } ?? ""
      let bounds = text.split(separator: "-").compactMap { UInt64($0) }
      return bounds.count == 2 && bounds[0] <= bounds[1] ? bounds[0]...bounds[1] : 1...48
    }

    @Test func `What Open vSwitch sends, we send, for random pipelines and frames`() throws {
      let comparison = try SwitchComparison()
      for seed in Self.seeds {
        let difference = try comparison.run(seed: seed, frameCount: 60)
        #expect(difference == nil)
      }
      // Much of what is sent arrives, and most of what we take Open vSwitch takes.
      #expect(comparison.forwarded * 4 > comparison.sent)
      #expect(comparison.refused.count * 20 < comparison.lineCount)
      print("\(comparison.sent) frames, \(comparison.forwarded) of them forwarded")
      if getenv("SWITCHD_COMPARISON") != nil {
        for (line, reason) in comparison.refused { print("refused: \(line)\n\(reason)") }
      }
    }

    /// A tag is put on, packets are routed, and the rest is learned. Ports are 1 to 4.
    private static let pipeline = FlowLines(
      groups: ["group_id=1,type=all,bucket=output:3,bucket=dec_ttl,output:4"],
      flows: [
        "priority=90,dl_type=0x88b5 actions=ALL",
        "priority=50,in_port=1,vlan_tci=0x0000/0x1fff actions=push_vlan:0x8100,set_field:4101->vlan_vid,goto_table:1",
        "priority=40,arp actions=FLOOD",
        "priority=10 actions=goto_table:1",
        "table=1,priority=30,ip,nw_dst=10.0.1.0/24 actions=set_field:02:00:00:00:00:0a->eth_src,"
          + "set_field:02:00:00:00:00:0b->eth_dst,dec_ttl,goto_table:2",
        "table=1,priority=30,ipv6,ipv6_dst=fd00::/16 actions=set_field:fd01::9->ipv6_src,dec_ttl,goto_table:2",
        "table=1,priority=20,dl_vlan=7 actions=pop_vlan,goto_table:2",
        "table=1,priority=0 actions=goto_table:2",
        "table=2,priority=30,tcp,tp_dst=80 actions=set_field:8080->tcp_dst,output:4",
        "table=2,priority=30,udp,tp_dst=0x50/0xfff0 actions=set_field:53->udp_src,group:1",
        "table=2,priority=20,ip,nw_ttl=1 actions=drop",
        "table=2,priority=0 actions=NORMAL",
      ])

    @Test(.needs("ip")) func `Real ports send what Open vSwitch sends, through three tables`() throws {
      try withLab { lab in
        let stations = [1, 2, 3, 0xA].map { [2, 0, 0, 0, 0, UInt8($0)] }
        let ours = try LiveSwitch(lab, ports: 4, sources: stations)
        try #require(ours.ports.map(\.number) == [1, 2, 3, 4])
        let theirs = try OpenVSwitch(ours.ports + [ComparedPort(number: 65534, name: "br0")])
        #expect(try theirs.load(Self.pipeline).isEmpty)
        try ours.load(Self.pipeline)
        var random = SeededRandom(seed: 7)
        for number in 0..<80 {
          let frame = Self.frame(&random)
          let port = UInt16.random(in: 1...4, using: &random)
          var expected = try theirs.send(frame, at: port)
          expected[65534] = nil
          var found = try ours.send(frame, at: port, expected: expected)
          // Whatever else there is comes before this.
          let last = [UInt8](repeating: 255, count: 6) + [2, 0, 0, 0, 0, 1, 0x88, 0xB5, UInt8(number)]
          for (port, frames) in try ours.flush(last, at: port) { found[port, default: []] += frames }
          #expect(found == expected, "\(hexadecimal(frame)) at \(port): \(theirs.trace(frame, at: port))")
        }
      }
    }

    private static func frame(_ random: inout SeededRandom) -> [UInt8] {
      func one<Element>(of elements: [Element]) -> Element { elements.randomElement(using: &random)! }
      var packet = ReferencePacket.random(&random, payload: one(of: [0, 18, 300]))
      packet.destinationMAC = [2, 0, 0, 0, 0, one(of: [1, 2, 3])]
      packet.sourceMAC = [2, 0, 0, 0, 0, one(of: [1, 2, 3])]
      packet.tags = one(of: [[], [], [[0x81, 0, 0, 5]], [[0x81, 0, 0xE0, 7]]])
      packet.destinationPort = one(of: [80, 85, 443])
      if packet.isIPv6 {
        packet.destination = [0xFD] + [UInt8](repeating: 0, count: 14) + [one(of: [1, 2])]
      } else {
        packet.destination = [10, 0, one(of: [1, 2]), 1]
      }
      return packet.finished
    }
  }
}
