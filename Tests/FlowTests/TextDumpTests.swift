import Testing

@testable import Flow

/// Texts as real tools print them: copied from `ovs-ofctl -O OpenFlow15 dump-…` and `ofproto/trace` of Open vSwitch 3.1.
@Suite struct TextDumpTests {
  let parser = FlowParser()
  let formatter = FlowFormatter()

  @Test func `A rule is dumped with its counters and ages`() throws {
    let flow = try parser.flow(
      "table=3,priority=5,cookie=7,idle_timeout=300,hard_timeout=400,importance=5,send_flow_rem,check_overlap,reset_counts,no_packet_counts,no_byte_counts,in_port=LOCAL,vlan_vid=5,actions=controller(max_len=123,id=5,reason=no_match)",
      for: .add
    ).flow
    let rule = FlowRule(flow, created: 1000)
    let text =
      " cookie=0x7, duration=4.792s, table=3, n_packets=0, n_bytes=0, idle_timeout=300, hard_timeout=400, send_flow_rem check_overlap reset_counts no_packet_counts no_byte_counts importance=5, idle_age=4, priority=5,in_port=LOCAL,vlan_tci=0x0005/0x1fff actions=controller(reason=no_match,max_len=123,id=5)"
    #expect(formatter.rule(rule, now: 5792) == text)
    #expect(
      formatter.flow(flow)
        == "cookie=0x7, table=3, idle_timeout=300, hard_timeout=400, send_flow_rem check_overlap reset_counts no_packet_counts no_byte_counts importance=5, priority=5,in_port=LOCAL,vlan_tci=0x0005/0x1fff actions=controller(reason=no_match,max_len=123,id=5)"
    )
    #expect(try parser.flow(text, for: .add).flow == flow)
  }

  @Test func `Ages count from the last frame and the last change`() throws {
    let rule = FlowRule(FlowDescription(actions: [.output(PortNumber(1))]), created: 1000)
    rule.counters.add(packets: 1, bytes: 118, at: 2000)
    let start = " cookie=0x0, duration=3.087s, table=0, n_packets=1, n_bytes=118, idle_age=2, "
    #expect(formatter.rule(rule, now: 4087) == start + "actions=output:1")
    rule.refresh(at: 3000)
    #expect(formatter.rule(rule, now: 4087) == start + "hard_age=1, actions=output:1")
    // A clock that is behind does not matter.
    #expect(formatter.rule(rule, now: 0).hasPrefix(" cookie=0x0, duration=0.000s,"))
  }

  @Test func `Groups are read and dumped`() throws {
    let lines = [
      (
        "group_id=1,type=select,selection_method=hash,fields(ip_src,tcp_dst=0xff),bucket=weight:10,output:1,bucket=bucket_id:3,watch_port:2,actions=output:2",
        "group_id=1,type=select,selection_method=hash,fields(ip_src,tcp_dst=255),bucket=bucket_id:0,weight:10,actions=output:1,bucket=bucket_id:3,watch_port:2,actions=output:2"
      ),
      (
        "group_id=2,type=ff,bucket=watch_port:1,output:1,bucket=watch_group:1,watch_port:2,actions=drop",
        "group_id=2,type=ff,bucket=bucket_id:0,watch_port:1,actions=output:1,bucket=bucket_id:1,watch_port:2,watch_group:1,actions=drop"
      ),
      ("group_id=1,type=all", "group_id=1,type=all"),
      (
        "group_id=1,type=all,bucket=output:1,bucket=bucket_id:0,output:2",
        "group_id=1,type=all,bucket=bucket_id:1,actions=output:1,bucket=bucket_id:0,actions=output:2"
      ),
      (
        "group_id=1,type=all,bucket=bucket_id:7,output:1,bucket=output:2",
        "group_id=1,type=all,bucket=bucket_id:7,actions=output:1,bucket=bucket_id:0,actions=output:2"
      ),
      (
        "group_id=1,type=select,bucket=weight:0,output:1",
        "group_id=1,type=select,bucket=bucket_id:0,weight:0,actions=output:1"
      ),
      (
        "group_id=1,type=select,selection_method=hash,fields=ip_src,bucket=output:1",
        "group_id=1,type=select,selection_method=hash,fields=ip_src,bucket=bucket_id:0,actions=output:1"
      ),
      (
        "group_id=1,type=select,selection_method=dp_hash,selection_method_param=5,bucket=output:1",
        "group_id=1,type=select,selection_method=dp_hash,selection_method_param=5,bucket=bucket_id:0,actions=output:1"
      ),
      (
        "group_id=1,type=select,selection_method=hash,fields(eth_dst=ff:ff:ff:ff:ff:00,ip_src=255.255.255.0,ipv6_src,nw_proto,vlan_vid,tcp_src),bucket=output:1",
        "group_id=1,type=select,selection_method=hash,fields(eth_dst=ff:ff:ff:ff:ff:00,ip_src=255.255.255.0,ipv6_src,nw_proto,vlan_vid,tcp_src),bucket=bucket_id:0,actions=output:1"
      ),
      (
        "group_id=1,type=indirect,bucket=output:1",
        "group_id=1,type=indirect,bucket=bucket_id:0,actions=output:1"
      ),
      (
        "group_id=1,type=ff,bucket=watch_group:2,actions=output:1",
        "group_id=1,type=ff,bucket=bucket_id:0,watch_group:2,actions=output:1"
      ),
      ("group_id=4294967040,type=all", "group_id=4294967040,type=all"),
      ("group_id=1 type=all bucket=output:1", "group_id=1,type=all,bucket=bucket_id:0,actions=output:1"),
      (
        "group_id=1,type=all,bucket=actions=output:1",
        "group_id=1,type=all,bucket=bucket_id:0,actions=output:1"
      ),
      (
        "group_id=1,type=select,bucket=weight:10,bucket_id:5,watch_port:1,watch_group:3,actions=1",
        "group_id=1,type=select,bucket=bucket_id:5,weight:10,watch_port:1,watch_group:3,actions=output:1"
      ),
    ]
    for (line, dumped) in lines {
      #expect(formatter.group(try parser.group(line, requiresBuckets: false)) == dumped)
    }
  }

  @Test(arguments: [
    "group_id=1,type=all,bucket=output:1,output:2,bucket=weight:5,output:1",
    "group_id=1,type=select,fields=ip_src,bucket=output:1",
    "group_id=1,type=select,selection_method=dp_hash,fields(ip_src),bucket=output:1",
    "group_id=1,type=indirect,bucket=output:1,bucket=output:2",
    "group_id=1,type=fast_failover,bucket=output:1",
    "type=all,bucket=output:1", "group_id=1,bucket=output:1", "group_id=4294967041,type=all",
    "group_id=1,type=foo",
    "group_id=1,type=all,bucket=", "group_id=1,type=all,bucket", "group_id=1,type=all,bucket=goto_table:1",
    "group_id=1,type=all,foo=1", "group_id=1,type=all,bucket(output:1),bucket(output:2)",
    "group_id=1,type=select,selection_method=foo,bucket=output:1",
    "group_id=1,type=select,selection_method=hash,fields(foo),bucket=output:1",
    "group_id=1,type=all,command_bucket_id=1,bucket=output:1",
    "group_id=1,type=all,bucket=bucket_id:1,output:1,bucket=bucket_id:1,output:1",
    "group_id=1,type=all,selection_method=hash,bucket=output:1",
    "group_id=1,type=select,selection_method=hash,fields(tcp_dst=0x101),bucket=output:1",
    "group_id=1,type=all,bucket=watch_port:nowhere,output:1",
  ])
  func `Wrong groups are refused`(line: String) {
    #expect(throws: FlowError.self) { try parser.group(line, requiresBuckets: false) }
  }

  @Test func `Buckets are inserted and removed by position`() throws {
    let inserted = try parser.buckets(
      "group_id=1,command_bucket_id=9,bucket=bucket_id:11,output:2,bucket=1", requiresBuckets: true)
    #expect(inserted.group == 1)
    #expect(inserted.position == .id(9))
    #expect(inserted.buckets.map(\.id) == [11, BucketModification.unnumbered])
    #expect(try parser.buckets("group_id=1,command_bucket_id=last", requiresBuckets: false).position == .last)
    #expect(try parser.buckets("group_id=1,command_bucket_id=all", requiresBuckets: false).position == .all)
    for line in [
      "group_id=1,bucket=bucket_id:10,output:2",
      "group_id=1,command_bucket_id=all,bucket=bucket_id:12,output:2",
      "group_id=1,command_bucket_id=foo,bucket=output:2",
      "group_id=1,type=all,command_bucket_id=last,bucket=output:2",
      "group_id=1,command_bucket_id=last", "command_bucket_id=last,bucket=1",
    ] {
      #expect(throws: FlowError.self, "\(line)") { try parser.buckets(line, requiresBuckets: true) }
    }
    #expect(throws: FlowError.self) {
      try parser.buckets("group_id=1,command_bucket_id=first,bucket=output:1", requiresBuckets: false)
    }
    #expect(throws: FlowError.self) { try parser.group("group_id=1,type=all", requiresBuckets: true) }
    #expect(try parser.groupSelection("group_id=7") == 7)
    #expect(try parser.groupSelection("group_id=all") == nil)
    #expect(throws: FlowError.self) { try parser.groupSelection("group_id=1,type=all") }
  }

  @Test func `Groups and meters are dumped with their statistics`() throws {
    let group = Group(
      try parser.group("group_id=1,type=all,bucket=1,bucket=2", requiresBuckets: true), created: 1000)
    group.bucketCounters[1].add(packets: 2, bytes: 120, at: 0)
    group.counters.add(packets: 3, bytes: 180, at: 0)
    #expect(
      formatter.groupStatistics(group, references: 4, now: 3178)
        == "group_id=1,duration=2.178s,ref_count=4,packet_count=3,byte_count=180,bucket0:packet_count=0,byte_count=0,bucket1:packet_count=2,byte_count=120"
    )
    let meter = Meter(
      try parser.meter("meter=2 pktps bands=type=drop rate=100,type=drop rate=200", requiresBands: true),
      created: 1000)
    #expect(
      formatter.meterStatistics(meter, flows: 1, now: 28485)
        == "meter:2 flow_count:1 packet_in_count:0 byte_in_count:0 duration:27.485s bands:\n0: packet_count:0 byte_count:0\n1: packet_count:0 byte_count:0"
    )
  }

  @Test func `Some bits of an ICMP type or code are dumped so that they are read again`() throws {
    for (line, dumped) in [
      ("icmp,tp_src=0/0xd2,tp_dst=3", "icmp,tp_src=0x0/0xd2,icmp_code=3"),
      ("icmp6,icmpv6_type=135,NXM_OF_TCP_DST[0..1]=1", "icmp6,icmp_type=135,tp_dst=0x1/0x3"),
    ] {
      let match = try parser.match(line)
      #expect(formatter.match(match) == dumped)
      #expect(try parser.match(dumped) == match)
    }
  }

  @Test func `Meters are read and dumped`() throws {
    let lines = [
      (
        "meter=1 kbps burst stats bands=type=drop rate=100 burst_size=10",
        "meter=1 kbps burst stats bands=\ntype=drop rate=100 burst_size=10"
      ),
      (
        "meter=2 pktps bands=type=drop rate=100,type=drop rate=200",
        "meter=2 pktps bands=\ntype=drop rate=100\ntype=drop rate=200"
      ),
      ("meter=1,pktps bands=type=drop,rate=5", "meter=1 pktps bands=\ntype=drop rate=5"),
      (
        "meter=1,pktps,burst,band=type=drop,rate=5,burst_size=3",
        "meter=1 pktps burst bands=\ntype=drop rate=5 burst_size=3"
      ),
    ]
    for (line, dumped) in lines {
      #expect(formatter.meter(try parser.meter(line, requiresBands: true)) == dumped)
    }
    #expect(try parser.meter("meter=5", requiresBands: false).id == 5)
    #expect(try parser.meterSelection("meter=all") == nil)
    #expect(try parser.meterSelection("meter=5") == 5)
  }

  @Test(arguments: [
    "meter=1 bands=type=drop rate=5", "meter=1 kbps", "meter=1 kbps bands=", "meter=1 kbps bands=rate=5",
    "meter=1 kbps bands=type=drop", "meter=1 kbps pktps bands=type=drop rate=5",
    "meter=1 kbps bands=type=drop rate=5 burst_size=4", "meter=1 kbps burst bands=type=drop rate=5",
    "meter=0 kbps bands=type=drop rate=5", "kbps bands=type=drop rate=5",
    "meter=1 kbps stats bands=type=dscp_remark rate=5 prec_level=1",
    "meter=1 kbps foo bands=type=drop rate=5",
    "meter=1 kbps bands=type=drop rate=0", "meter=1 kbps bands=type=foo rate=5", "meter=1 kbps bands",
    "meter=1 kbps band=type=drop rate=5 band=type=drop rate=6",
    "meter=4294901761 kbps bands=type=drop rate=5",
  ])
  func `Wrong meters are refused`(line: String) {
    #expect(throws: FlowError.self) { try parser.meter(line, requiresBands: true) }
  }
}
