import Testing

// switchctl's commands on flows, groups and meters, as a user types them.
extension System {
  @Suite struct FlowCommands {
    @Test func `Flows are added, dumped, changed and deleted`() throws {
      try withLab { lab in
        #expect(try lab.ctl("--no-stats", "dump-flows", "br0") == " priority=0 actions=NORMAL")
        _ = try lab.addTAP("tap1")
        let number = try lab.interface("tap1", "ofport")
        try lab.ctl("add-flow", "br0", "priority=7,cookie=0x2a,tcp,in_port=tap1,tcp_dst=80,actions=drop")
        #expect(
          try lab.ctl("--no-stats", "dump-flows", "br0")
            == " cookie=0x2a, priority=7,tcp,in_port=\(number),tp_dst=80 actions=drop\n priority=0 actions=NORMAL"
        )
        #expect(
          try lab.ctl("dump-flows", "br0", "--names", "--no-stats", "tcp")
            == " cookie=0x2a, priority=7,tcp,in_port=tap1,tp_dst=80 actions=drop")
        try lab.ctl("mod-flows", "br0", "tcp,actions=output:tap1")
        #expect(try lab.ctl("dump-flows", "br0", "cookie=0x2a/-1").contains("actions=output:\(number)"))
        #expect(try lab.ctl("dump-aggregate", "br0", "out_port=tap1").hasSuffix("flow_count=1"))
        #expect(try lab.ctl("--format=json", "dump-flows", "br0", "tcp").contains("\"headings\":[\"table\""))

        try lab.ctl("del-flows", "--strict", "br0", "priority=8,tcp,in_port=tap1,tcp_dst=80")
        #expect(try lab.ctl("dump-flows", "br0").split(separator: "\n").count == 2)
        try lab.ctl("del-flows", "--strict", "br0", "priority=7,tcp,in_port=tap1,tcp_dst=80")
        #expect(try lab.ctl("dump-flows", "br0").split(separator: "\n").count == 1)
        try lab.ctl("del-flows", "br0")
        #expect(try lab.ctl("dump-flows", "br0") == "")
      }
    }

    @Test func `What is wrong is said in one sentence, with its place`() throws {
      try withLab { lab in
        let file = lab.socket("flows")
        try writeFile(file, "priority=1,actions=drop\n# comment\n\npriority=2,nosuchfield=1,actions=drop\n")
        let wrong = try lab.attempt("add-flows", "br0", file)
        #expect(wrong.status == 1)
        #expect(wrong.standardError.hasPrefix("switchctl: \(file): line 4: "), "\(wrong)")
        #expect(try lab.ctl("--no-stats", "dump-flows", "br0") == " priority=0 actions=NORMAL")

        // What only the switch can know.
        try writeFile(file, "priority=1,actions=drop\n# comment\npriority=2,actions=group:9\n")
        let refused = try lab.attempt("--bundle", "add-flows", "br0", file)
        #expect(refused.status == 1)
        #expect(refused.standardError.contains("line 3, \"priority=2,actions=group:9\": "), "\(refused)")
        #expect(try lab.ctl("--no-stats", "dump-flows", "br0") == " priority=0 actions=NORMAL")
        #expect(try lab.attempt("add-flows", "br0", file).status == 1)
        #expect(try lab.ctl("dump-aggregate", "br0").hasSuffix("flow_count=2"))

        #expect(
          try lab.attempt("dump-flows", "br9").standardError == "switchctl: switchd: there is no bridge br9\n"
        )
        #expect(try lab.attempt("add-flow", "br0").status == 2)
        #expect(try lab.attempt("dump-flow", "br0").standardError.contains("did you mean \"dump-flows\"?"))
      }
    }

    @Test func `A file of many flows is loaded at once, dumped, compared and deleted`() throws {
      try withLab { lab in
        let file = lab.socket("flows")
        let count = 5000
        let lines = (0..<count).map {
          "priority=9,ip,nw_dst=10.\($0 >> 16).\($0 >> 8 & 255).\($0 & 255),actions=drop"
        }
        try writeFile(file, lines.joined(separator: "\n"))
        try lab.ctl("del-flows", "br0")
        try lab.ctl("--bundle", "add-flows", "br0", file)
        #expect(try lab.ctl("dump-aggregate", "br0").hasSuffix("flow_count=\(count)"))
        try lab.ctl("diff-flows", "br0", file)
        // What is dumped is a file of flows.
        let dump = lab.socket("dump")
        try writeFile(dump, try lab.ctl("dump-flows", "br0"))
        try lab.ctl("diff-flows", file, dump)
        try lab.ctl("add-flows", "br0", file)
        #expect(try lab.ctl("dump-aggregate", "br0").hasSuffix("flow_count=\(count)"))
        try lab.ctl("del-flows", "br0", "ip")
        #expect(try lab.ctl("dump-flows", "br0") == "")
      }
    }

    @Test func `diff-flows tells differences, replace-flows removes them and keeps counters`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        let file = lab.socket("flows")
        try lab.ctl("add-flow", "br0", "priority=5,arp,actions=NORMAL")
        try lab.ctl("add-flow", "br0", "table=1,priority=9,tcp,actions=drop")
        try first.reaches(second)
        try eventually("ARP is counted") {
          !(try lab.ctl("dump-flows", "br0", "arp").contains("n_packets=0,"))
        }
        try writeFile(
          file,
          "priority=5,arp,actions=NORMAL\npriority=0,cookie=3,actions=NORMAL\npriority=8,udp,actions=veth2\n")
        let port = try lab.interface("veth2", "ofport")
        let difference = try lab.attempt("diff-flows", "br0", file)
        #expect(difference.status == 2)
        #expect(
          difference.text == """
            +priority=8,udp actions=output:\(port)
            -priority=0 actions=NORMAL
            +cookie=0x3, priority=0 actions=NORMAL
            -table=1, priority=9,tcp actions=drop
            """)
        try lab.ctl("--bundle", "replace-flows", "br0", file)
        try lab.ctl("diff-flows", "br0", file)
        #expect(!(try lab.ctl("dump-flows", "br0", "arp").contains("n_packets=0,")))
      }
    }

    @Test func `Groups and meters are added, changed, shown and deleted with the flows that use them`() throws
    {
      try withLab { lab in
        try lab.ctl("add-group", "br0", "group_id=5,type=select,bucket=output:1,bucket=output:2")
        try lab.ctl("insert-buckets", "br0", "group_id=5,command_bucket_id=last,bucket=weight:3,output:3")
        #expect(
          try lab.ctl("dump-groups", "br0")
            == " group_id=5,type=select,bucket=bucket_id:0,actions=output:1,bucket=bucket_id:1,actions=output:2,"
            + "bucket=bucket_id:2,weight:3,actions=output:3")
        try lab.ctl("remove-buckets", "br0", "group_id=5,command_bucket_id=0")
        #expect(!(try lab.ctl("dump-groups", "br0", "group_id=5").contains("bucket_id:0")))
        #expect(try lab.attempt("add-group", "br0", "group_id=5,type=all").status == 1)
        try lab.ctl("--may-create", "mod-group", "br0", "group_id=6,type=all,bucket=output:1")
        try lab.ctl("add-flow", "br0", "udp,actions=group:6")
        #expect(try lab.ctl("dump-group-stats", "br0", "group_id=6").contains("ref_count=1,"))
        try lab.ctl("add-meter", "br0", "meter=3 pktps burst bands=type=drop rate=5 burst_size=7")
        try lab.ctl("add-flow", "br0", "table=1,tcp,actions=meter:3,NORMAL")
        #expect(
          try lab.ctl("dump-meter", "br0", "meter=3")
            == "meter=3 pktps burst bands=\ntype=drop rate=5 burst_size=7")
        #expect(try lab.ctl("meter-stats", "br0").hasPrefix("meter:3 flow_count:1 packet_in_count:0 "))
        try lab.ctl("mod-meter", "br0", "meter=3 kbps bands=type=drop rate=1000")
        #expect(try lab.ctl("dump-meters", "br0") == "meter=3 kbps bands=\ntype=drop rate=1000")
        try lab.ctl("del-groups", "br0")
        try lab.ctl("del-meters", "br0")
        #expect(try lab.ctl("dump-groups", "br0") == "" && lab.ctl("dump-meters", "br0") == "")
        #expect(try lab.ctl("--no-stats", "dump-flows", "br0") == " priority=0 actions=NORMAL")
      }
    }

    @Test(.needs("ovs-ofctl")) func `Open vSwitch reads what is dumped`() throws {
      try withLab { lab in
        let file = lab.socket("flows")
        try writeFile(file, FlowCommands.corpus.joined(separator: "\n"))
        try lab.ctl("add-group", "br0", "group_id=1,type=all,bucket=output:1")
        try lab.ctl("add-meter", "br0", "meter=1 kbps bands=type=drop rate=1000")
        try lab.ctl("replace-flows", "br0", file)
        for options in [[], ["--no-stats"]] {
          let dump = try lab.attempt(["dump-flows", "br0"] + options)
          #expect(dump.lines.count == FlowCommands.corpus.count)
          try writeFile(lab.socket("dump"), dump.text)
          let parsed = try run(["ovs-ofctl", "-O", "OpenFlow15", "parse-flows", lab.socket("dump")])
          #expect(parsed.succeeded, "\(parsed)")
          #expect(parsed.lines.filter { $0.contains("ADD") }.count == FlowCommands.corpus.count)
        }
      }
    }

    static let corpus = [
      "priority=0,actions=NORMAL", "in_port=LOCAL,actions=drop",
      "table=3,cookie=0x5,idle_timeout=10,hard_timeout=20,importance=3,tcp,nw_src=10.0.0.0/8,tp_dst=0x50/0xfff0,"
        + "tcp_flags=+syn-ack,actions=dec_ttl,set_field:10.0.0.9->ip_dst,push_vlan:0x8100,set_field:4101->vlan_vid,resubmit(,4)",
      "table=4,arp,arp_op=1,arp_tpa=10.0.0.1,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],load:0x2->NXM_OF_ARP_OP[],IN_PORT",
      "table=5,icmp6,icmp_type=135,nd_target=fe80::1,actions=learn(table=6,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),FLOOD",
      "table=6,ipv6,ipv6_src=2001:db8::/32,actions=meter:1,group:1",
      "table=7,vlan_vid=0x1005/0x1fff,vlan_pcp=3,actions=strip_vlan,write_actions(output:2),goto_table:8",
      "table=8,reg0=0x5/0xff,metadata=0x1,actions=clone(output:1,set_field:1->reg1),controller(max_len=128)",
      "table=9,conj_id=5,ip,actions=ALL", "table=9,ip,nw_src=10.0.0.1,actions=conjunction(5,1/2)",
    ]
  }
}
