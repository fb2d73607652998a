import Testing

// `switchctl trace`: what happens to a frame and why, with the flow that decides.
extension System {
  @Suite struct Trace {
    private static func decision(_ trace: String) -> Substring? {
      trace.split(separator: "\n").last { $0.hasPrefix("Decided by: ") }
    }

    @Test func `A pipeline of three tables is explained table by table`() throws {
      try withLab { lab in
        _ = try lab.addTAP("tap1")
        _ = try lab.addTAP("tap2")
        try lab.ctl(
          "add-flow", "br0",
          "priority=10,in_port=tap1,actions=push_vlan:0x8100,set_field:4105->vlan_vid,resubmit(,1)")
        try lab.ctl(
          "add-flow", "br0",
          "table=1,priority=20,ip,nw_dst=10.0.0.0/24,actions=dec_ttl,mod_nw_src:192.0.2.1,resubmit(,2)")
        try lab.ctl("add-flow", "br0", "table=2,priority=30,cookie=0x2a,tcp,tcp_dst=80,actions=output:tap2")
        let frame = "in_port=tap1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tcp_dst=80"
        let trace = try lab.ctl("trace", "br0", frame, "--names")
        #expect(
          trace.contains(
            """

            bridge("br0")
            -------------
             0. in_port=tap1, priority 10
                push_vlan:0x8100
                set_field:4105->vlan_vid
                resubmit(,1)
             1. ip,nw_dst=10.0.0.0/24, priority 20
                dec_ttl
                mod_nw_src:192.0.2.1
                resubmit(,2)
             2. tcp,tp_dst=80, priority 30, cookie 0x2a
                output:tap2

            Final flow: tcp,in_port=tap1,dl_vlan=9,
            """), "\(trace)")
        #expect(trace.contains("\nMegaflow: "))
        #expect(
          trace.contains(
            "\nDatapath actions: set(nw_src=192.0.2.1,nw_ttl=63),push_vlan(vid=9,pcp=0),output:tap2\n"),
          "\(trace)")
        #expect(Self.decision(trace) == "Decided by: table 2: tcp,tp_dst=80, priority 30, cookie 0x2a")

        let missed = try lab.ctl("trace", "br0", "in_port=tap1,udp,nw_dst=10.0.0.2,nw_ttl=64")
        #expect(missed.contains("\n 2. No match.\n    drop\n"), "\(missed)")
        #expect(Self.decision(missed) == "Decided by: table 2, in which no flow matches")
        let json = try lab.ctl("--format=json", "trace", "br0", frame)
        #expect(json.contains("\"decided_by\":[\"table 2: tcp,tp_dst=80, priority 30, cookie 0x2a\"]"))
      }
    }

    @Test func `MAC learning says what it knows`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1", columns: ["tag=5"])
        let second = try lab.addHost("veth2", columns: ["tag=5"])
        _ = try lab.addHost("veth3", columns: ["tag=6"])
        try first.reaches(second)
        let address = try second.namespace.run(["cat", "/sys/class/net/eth0/address"])
        let number = try lab.interface("veth2", "ofport")
        func trace(_ frame: String) throws -> String { try lab.ctl("trace", "br0", frame) }

        let learned = try trace("in_port=veth1,dl_dst=\(address)")
        #expect(
          learned.contains(
            "    NORMAL\n     -> learned: \(address) in VLAN 5 is behind veth2 (port \(number))\n"))
        #expect(learned.contains("\nMegaflow: none: "))
        #expect(Self.decision(learned) == "Decided by: table 0: priority 0")
        #expect(
          try trace("in_port=veth2,dl_dst=\(address)").contains(
            " -> dropped: \(address) is behind the port it came from"))
        #expect(
          try trace("in_port=veth3,dl_dst=\(address)").contains(
            " -> flooded: \(address) is not learned in VLAN 6;"))
        #expect(
          try trace("in_port=veth1,dl_dst=ff:ff:ff:ff:ff:ff").contains(
            " -> flooded: ff:ff:ff:ff:ff:ff is a group address;"))
        #expect(
          try trace("in_port=veth1,dl_vlan=7,dl_dst=\(address)").contains(
            " -> dropped: the port does not carry VLAN 7"))
      }
    }

    @Test func `A frame of a capture is traced, and dropped by the flow that is named`() throws {
      try withLab { lab in
        _ = try lab.addTAP("tap1")
        try lab.ctl("add-flow", "br0", "priority=50,cookie=0x99,icmp,nw_dst=192.0.2.2,actions=drop")
        // Two frames in a capture of a machine of the other byte order, with nanoseconds.
        let echo = Self.frame(to: 2)
        let file = lab.socket("frames.pcap")
        try Self.write(file, frames: [Self.frame(to: 1), echo])
        let dropped = try lab.ctl("trace", "br0", "--pcap", file, "--frame=2", "--in-port=tap1")
        #expect(
          dropped.contains("\n 0. icmp,nw_dst=192.0.2.2, priority 50, cookie 0x99\n    drop\n"), "\(dropped)")
        #expect(dropped.contains("\nDatapath actions: drop\nDropped: "))
        #expect(
          Self.decision(dropped) == "Decided by: table 0: icmp,nw_dst=192.0.2.2, priority 50, cookie 0x99")
        let first = try lab.ctl("trace", "br0", "--pcap=\(file)", "--in-port=tap1")
        #expect(Self.decision(first) == "Decided by: table 0: priority 0", "\(first)")

        try writeFile(file, "not a capture")
        let refused = try lab.attempt("trace", "br0", "--pcap=\(file)")
        #expect(
          refused.status == 1 && refused.standardError.contains("is no capture in the pcap format"),
          "\(refused)")
      }
    }

    /// An ICMP echo request to 192.0.2.`last`.
    private static func frame(to last: UInt8) -> [UInt8] {
      let ethernet: [UInt8] = [0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 8, 0]
      let ip: [UInt8] = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 9, 192, 0, 2, last]
      return ethernet + ip + [8, 0, 0xF7, 0xFF, 0, 0, 0, 0]
    }

    private static func write(_ path: String, frames: [[UInt8]]) throws {
      func word(_ value: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
      var bytes = word(0xA1B2_3C4D) + [0, 2, 0, 4] + word(0) + word(0) + word(65535) + word(1)
      for frame in frames { bytes += word(1) + word(2) + word(frame.count) + word(frame.count) + frame }
      let escapes = bytes.map { byte in
        "\\" + [byte >> 6, byte >> 3 & 7, byte & 7].map { String($0) }.joined()
      }
      try must(["sh", "-c", "printf '\(escapes.joined())' > \(path)"])
    }
  }
}
