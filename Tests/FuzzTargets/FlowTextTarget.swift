import Flow

extension FuzzTarget {
  /// Everything that is read of flows as text; what is read is written, and reads back as what it was.
  static let flowText = FuzzTarget("flow-text", seeds: { lines.map { Array($0.utf8) } }) { bytes in
    let text = String(decoding: bytes, as: UTF8.self)
    readFlows(text, FlowParser(ports: names), FlowFormatter(ports: names))
    readFlows(text, FlowParser(warn: { require(!$0.isEmpty, "a warning says something") }), FlowFormatter())
  }

  private static let names = PortNameTable([
    ("eth0", PortNumber(1)), ("a b\"\\", PortNumber(2)), ("normal", PortNumber(3)), ("é", PortNumber(4)),
  ])

  private static func readFlows(_ text: String, _ parser: FlowParser, _ formatter: FlowFormatter) {
    for command in [FlowModification.Command.add, .modify, .modifyStrict, .delete, .deleteStrict] {
      guard let change = try? parser.flow(text, for: command) else { continue }
      let written = formatter.flow(change.flow)
      guard command == .add else { continue }
      require((try? parser.flow(written, for: .add))?.flow == change.flow, "flow: \(written)")
      let line = try? parser.modification(line: "add " + written)
      require(line?.flow == change.flow, "line: \(written)")
    }
    if let match = try? parser.match(text) {
      let written = formatter.match(match)
      require((try? parser.match(written)) == match, "match: \(written)")
    }
    if let actions = try? parser.actions(text) {
      let written = formatter.actions(actions)
      require((try? parser.actions(written)) == actions, "actions: \(written)")
    }
    if let key = try? parser.key(text) {
      // Names the inner tag, and addresses of neighbours that a key that is read cannot have.
      _ = formatter.key(key) + formatter.key(key, mask: .wholePacket)
    }
    _ = try? parser.modification(line: text)
    _ = try? parser.filter(text)
    readGroups(text, parser, formatter)
  }

  private static func readGroups(_ text: String, _ parser: FlowParser, _ formatter: FlowFormatter) {
    if let group = try? parser.group(text, requiresBuckets: false) {
      let written = formatter.group(group)
      require((try? parser.group(written, requiresBuckets: false)) == group, "group: \(written)")
    }
    if let meter = try? parser.meter(text, requiresBands: true) {
      let written = formatter.meter(meter)
      require((try? parser.meter(written, requiresBands: true)) == meter, "meter: \(written)")
    }
    _ = try? parser.meter(text, requiresBands: false)
    for requiresBuckets in [false, true] {
      if let change = try? parser.buckets(text, requiresBuckets: requiresBuckets) {
        let ids = BucketModification.numbered(change.buckets).map(\.id)
        require(!ids.contains(BucketModification.unnumbered), "every bucket gets a number")
      }
    }
    _ = try? parser.groupSelection(text)
    _ = try? parser.meterSelection(text)
  }

  /// Lines that between them use every field's format, every action and every option.
  private static let lines = [
    "add table=1,priority=5,cookie=0x5,idle_timeout=1,hard_timeout=2,importance=3,send_flow_rem,tcp,nw_dst=10.0.0.0/8,tp_dst=80/0xff actions=output:1,NORMAL,controller(reason=no_match,max_len=128,id=1)",
    "in_port=eth0,dl_vlan=5,dl_vlan_pcp=3,ip,nw_tos=4,nw_ecn=1,ip_frag=later,actions=strip_vlan,push_vlan:0x8100,set_field:0x1005->vlan_vid,mod_vlan_pcp:1,\"a b\\\"\\\\\"",
    "delete_strict cookie=5/-1,out_port=\"normal\",out_group=4,ipv6,ipv6_src=fe80::/64,ipv6_label=5/0xff,priority=9",
    "tcp6,tcp_flags=+syn-ack,metadata=5/7,reg0=1/1,xreg1=2,xxreg1=3/0xffff0000ffff,actions=write_actions(set_field:80->tcp_dst,group:1),write_metadata:1/3,goto_table:5",
    "icmp6,icmpv6_type=135,nd_target=::1,nd_sll=0:0:0:0:0:1/ff:0:0:0:0:0,actions=set_field:fe80::1->nd_target,move:reg0[0..15]->reg1[16..31],load:5->NXM_NX_REG2[3..7],push:reg0,pop:reg1",
    "arp,arp_op=1,arp_spa=1.2.3.4/255.0.255.0,arp_tha=1:2:3:4:5:6,actions=clone(mod_dl_src:1:2:3:4:5:6,mod_nw_dst:1.2.3.4,mod_nw_ttl:3,dec_ttl(1,2)),resubmit(2,3),resubmit(,4),exit,note:01.02",
    "ip,actions=learn(table=2,priority=3,idle_timeout=4,cookie=5,limit=6,result_dst=reg0[0],delete_learned,eth_type=0x800,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],load:reg0[0..7]->reg1[8..15],output:in_port)",
    "conj_id=5,vlan_tci=0x1005/0x1fff,NXM_NX_REG3[0..4]=7,actions=conjunction(1,2/3),conjunction(2,1/2),note:",
    "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1,tp_dst=80,tcp_flags=ack,dl_vlan=3,nw_ttl=64",
    "group_id=1,type=select,selection_method=hash,selection_method_param=5,fields(ip_src,tcp_dst=0xff),bucket=weight:10,watch_port:1,output:1,bucket=bucket_id:3,watch_group:2,actions=meter:2,output:2",
    "group_id=1,command_bucket_id=last,bucket=output:2,bucket=bucket_id:5,drop", "group_id=all",
    "meter=1 kbps burst stats bands=type=drop rate=100 burst_size=10,type=drop rate=5 burst_size=1",
    "meter:1,output:1,clear_actions", "# nothing",
  ]
}
