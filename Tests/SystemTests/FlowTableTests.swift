import Testing

// What flows do to real traffic, and what the database says about tables.
extension System {
  @Suite struct FlowTable {
    @Test func `A bridge that fails secure forwards what its flows say, and nothing else`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        try lab.ctl("set-fail-mode", "br0", "secure")
        #expect(try lab.ctl("dump-flows", "br0") == "")
        #expect(try first.namespace.attempt(["ping", "-c1", "-W1", second.address]).status != 0)
        try eventually("the drop is counted") { try lab.counter("veth1", "rx_drop_table_miss") > 0 }
        try lab.ctl("add-flow", "br0", "in_port=veth1,actions=veth2")
        try lab.ctl("add-flow", "br0", "in_port=veth2,actions=veth1")
        try first.reaches(second)
        try lab.ctl("del-fail-mode", "br0")
        #expect(try lab.ctl("--no-stats", "dump-flows", "br0") == " priority=0 actions=NORMAL")
        try first.reaches(second)
      }
    }

    @Test func `TCP goes through a pipeline that rewrites both ways`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        // An address that nobody has stands for the second host: its own is put in on the way there, and back.
        let alias = "10.77.0.77"
        try first.namespace.run(["ip", "route", "add", alias, "dev", "eth0"])
        let station = try second.namespace.run(["cat", "/sys/class/net/eth0/address"])
          .trimmingPrefix(while: \.isWhitespace).prefix { !$0.isWhitespace }
        try first.namespace.run(["ip", "neigh", "add", alias, "lladdr", String(station), "dev", "eth0"])
        try lab.ctl(
          "add-flow", "br0",
          "ip,in_port=veth1,nw_dst=\(alias),actions=mod_nw_dst:\(second.address),resubmit(,1)")
        try lab.ctl(
          "add-flow", "br0", "ip,in_port=veth2,nw_dst=\(first.address),actions=mod_nw_src:\(alias),NORMAL")
        try lab.ctl("add-flow", "br0", "table=1,actions=NORMAL")
        #expect(try first.namespace.ping(alias, count: 2, size: 56).status == 0)
        // Checksums of segments and partial checksums have to be right, too.
        let server = try second.namespace.start(["iperf3", "-s", "-1"])
        try eventually("iperf3 listens") {
          try !second.namespace.run(["ss", "-Hltn", "sport = :5201"]).isEmpty
        }
        try first.namespace.run(["iperf3", "-c", alias, "-t", "1"], within: 30)
        try server.wait(within: 10)
        try eventually("the traffic is counted") {
          try lab.ctl("dump-flows", "br0", "table=1").contains("n_packets=0") == false
        }
      }
    }

    @Test func `A flow with an idle timeout lives on cached traffic, and not longer`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        try lab.ctl("add-flow", "br0", "idle_timeout=2,ip,in_port=veth1,actions=veth2")
        // Five seconds of it.
        #expect(
          try first.namespace.run(["ping", "-c", "26", "-i", "0.2", second.address]).contains(
            " 0% packet loss"))
        #expect(try lab.ctl("dump-flows", "br0", "ip").contains("idle_timeout=2"))
        try eventually("the flow goes") { try lab.ctl("dump-flows", "br0", "ip") == "" }
      }
    }

    @Test func `A full table refuses flows, or gives up the least important one`() throws {
      try withLab { lab in
        try lab.ctl(
          "--id=@table", "create", "Flow_Table", "flow_limit=2", "--", "set", "Bridge", "br0",
          "flow_tables:1=@table")
        for port in [1, 2] {
          try lab.ctl(
            "add-flow", "br0", "table=1,idle_timeout=60,importance=\(port),in_port=\(port),actions=drop")
        }
        let refused = try lab.attempt("add-flow", "br0", "table=1,in_port=3,actions=drop")
        #expect(refused.status == 1 && refused.standardError.contains("full"), "\(refused)")
        try lab.ctl("set", "Flow_Table", ".", "overflow_policy=evict")
        try lab.ctl("add-flow", "br0", "table=1,importance=9,in_port=3,actions=drop")
        let flows = try lab.ctl("--no-stats", "dump-flows", "br0", "table=1")
        #expect(
          flows.contains("in_port=2") && flows.contains("in_port=3") && !flows.contains("in_port=1"),
          "\(flows)")
      }
    }
  }
}
