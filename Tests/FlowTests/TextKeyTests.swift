import Testing

@testable import Flow

/// Frames as `ofproto/trace` of Open vSwitch 3.1 prints them.
@Suite struct TextKeyTests {
  let parser = FlowParser()
  let formatter = FlowFormatter()

  private static let noMAC = "dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00"
  private static let untagged = "vlan_tci=0x0000," + noMAC
  private static let ip = "nw_tos=0,nw_ecn=0,nw_ttl=0"

  @Test func `A frame is printed with every field it has`() throws {
    let (noMAC, untagged, ip) = (Self.noMAC, Self.untagged, Self.ip)
    let lines = [
      (
        "in_port=1,tcp,nw_src=1.2.3.9,nw_dst=192.168.0.2,tp_src=5",
        "tcp,in_port=1,\(untagged),nw_src=1.2.3.9,nw_dst=192.168.0.2,\(ip),nw_frag=no,tp_src=5,tp_dst=0,tcp_flags=0"
      ),
      (
        "in_port=1,dl_vlan=5,icmp6,icmpv6_type=135,nd_target=fe80::1",
        "icmp6,in_port=1,dl_vlan=5,dl_vlan_pcp=0,vlan_tci1=0x0000,\(noMAC),ipv6_src=::,ipv6_dst=::,ipv6_label=0x00000,\(ip),nw_frag=no,icmp_type=135,icmp_code=0,nd_target=fe80::1,nd_sll=00:00:00:00:00:00,nd_tll=00:00:00:00:00:00"
      ),
      (
        "in_port=1,icmp6,icmpv6_type=128",
        "icmp6,in_port=1,\(untagged),ipv6_src=::,ipv6_dst=::,ipv6_label=0x00000,\(ip),nw_frag=no,icmp_type=128,icmp_code=0"
      ),
      (
        "in_port=1,dl_vlan=5,dl_vlan_pcp=3,arp,arp_op=1,arp_spa=1.2.3.4,reg0=4,metadata=3",
        "arp,reg0=0x4,metadata=0x3,in_port=1,dl_vlan=5,dl_vlan_pcp=3,vlan_tci1=0x0000,\(noMAC),arp_spa=1.2.3.4,arp_tpa=0.0.0.0,arp_op=1,arp_sha=00:00:00:00:00:00,arp_tha=00:00:00:00:00:00"
      ),
      (
        "in_port=1,icmp,nw_frag=later",
        "icmp,in_port=1,\(untagged),nw_src=0.0.0.0,nw_dst=0.0.0.0,\(ip),nw_frag=later"
      ),
      (
        "in_port=1,ip,nw_proto=89",
        "ip,in_port=1,\(untagged),nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_proto=89,\(ip),nw_frag=no"
      ),
      (
        "in_port=1,ipv6",
        "ipv6,in_port=1,\(untagged),ipv6_src=::,ipv6_dst=::,ipv6_label=0x00000,nw_proto=0,\(ip),nw_frag=no"
      ),
      ("in_port=1,dl_type=0x1234", "in_port=1,\(untagged),dl_type=0x1234"),
      ("in_port=1", "in_port=1,\(untagged),dl_type=0x0000"),
      (
        "tcp,tcp_flags=syn,in_port=1",
        "tcp,in_port=1,\(untagged),nw_src=0.0.0.0,nw_dst=0.0.0.0,\(ip),nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=syn"
      ),
      (
        "rarp,in_port=LOCAL",
        "rarp,in_port=LOCAL,\(untagged),arp_spa=0.0.0.0,arp_tpa=0.0.0.0,arp_op=0,arp_sha=00:00:00:00:00:00,arp_tha=00:00:00:00:00:00"
      ),
      (
        "in_port=2,udp,nw_frag=first",
        "udp,in_port=2,\(untagged),nw_src=0.0.0.0,nw_dst=0.0.0.0,\(ip),nw_frag=first,tp_src=0,tp_dst=0"
      ),
    ]
    for (line, printed) in lines { #expect(formatter.key(try parser.key(line)) == printed, "\(line)") }
  }

  @Test func `A mask is printed as the bits an answer depended on`() throws {
    let key = try parser.key("in_port=2,tcp6,tp_dst=16,tcp_flags=2,ipv6_label=3")
    var mask = Field.inPort.mask | Field.ethernetType.mask | Field.ipProtocol.mask | Field.ipFragment.mask
    var bits = Match()
    bits.set(.ipv6Label, 0, mask: 0xF)
    bits.set(.tcpDestination, 0, mask: 0xFFF0)
    bits.set(.tcpFlags, 0, mask: 2)
    mask |= bits.mask | Field.reg3.mask
    #expect(
      formatter.key(key, mask: mask)
        == "recirc_id=0,eth,tcp6,in_port=2,ipv6_label=0x00003/0x0000f,nw_frag=no,tp_dst=0x10/0xfff0,tcp_flags=+syn"
    )
  }

  @Test(arguments: [
    "in_port=7,nw_src=1.2.3.4", "in_port=1,ip,ip_src=1.2.3.0/24", "tcp,tcp_flags=+syn",
    "vlan_tci=0x1005/0x1fff",
    "tcp,tp_src=5,udp_src=5", "tcp,icmp_type=5", "foo=5", "table=3,in_port=1", "priority=3,in_port=1",
    "in_port=1 actions=drop", "nw_frag=no,in_port=1", "ip,nw_frag=yes", "ip,nw_frag=not_later",
    "reg0[0..3]=5",
    "ip,nw_src=*", "in_port=nowhere",
  ])
  func `What is not a frame is refused`(line: String) {
    #expect(throws: FlowError.self) { try parser.key(line) }
  }

  @Test func `A tag that is named is there`() throws {
    #expect(try parser.key("dl_vlan=5")[3] == 0x8100_1005_0000_0000)
    #expect(try parser.key("vlan_vid=5,vlan_pcp=3")[3] == 0x8100_7005_0000_0000)
    #expect(try parser.key("in_port=1")[3] == 0)
  }
}
