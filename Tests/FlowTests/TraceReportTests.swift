import Flow
import Testing

/// Traces as they are printed: the layout is that of `ofproto/trace`.
struct TraceReportTests {
  static let ports = PortNameTable([("vm1", PortNumber(1)), ("vm2", PortNumber(2)), ("vm9", PortNumber(9))])

  /// Traces a frame through these flows and groups.
  static func report(_ frame: String, _ flows: [String], groups: [String] = []) throws -> TraceReport {
    let pipeline = FlowPipeline(startsWithNormal: false, clock: { 1000 }, publish: { _ in })
    pipeline.setPorts([PortNumber(1): FlowPort(), PortNumber(2): FlowPort(), PortNumber(9): FlowPort()])
    let parser = FlowParser(ports: ports)
    for group in groups { try pipeline.addGroup(try parser.group(group, requiresBuckets: true)) }
    try pipeline.apply(try flows.compactMap { try parser.modification(line: $0) })
    let key = try parser.key(frame)
    let (translation, steps) = Translator(lookup: pipeline.active).trace(key)
    return TraceReport(key, translation, steps, FlowFormatter()) { port, key in
      "learning decides for port \(port), VLAN \(key[.vlanTCI] & 0xFFF)"
    }
  }

  static let pipeline = [
    "in_port=1,cookie=9,priority=10,actions=resubmit(,10),resubmit(,1)",
    "table=10,ip,actions=load:3->NXM_NX_REG0[0..15]",
    "table=1,tcp,actions=dec_ttl,set_field:10.0.0.9->ip_dst,push_vlan:0x8100,set_field:4101->vlan_vid,resubmit(,2)",
    "table=1,udp,cookie=7,actions=write_actions(output:2),goto_table:3",
    "table=1,icmp,actions=drop",
    "table=2,actions=NORMAL",
  ]

  @Test func `A chain of tables stays at the margin, a table its caller comes back from is indented`() throws
  {
    let report = try Self.report(
      "in_port=1,tcp,dl_dst=52:54:00:00:00:02,nw_ttl=64,tcp_dst=80", Self.pipeline)
    let text = report.text(bridge: "br0")
    #expect(
      text.contains(
        """

        bridge("br0")
        -------------
         0. in_port=1, priority 10, cookie 0x9
            resubmit(,10)
            10. ip, priority 32768
                    load:0x3->NXM_NX_REG0[0..15]
            resubmit(,1)
         1. tcp, priority 32768
            dec_ttl
            set_field:10.0.0.9->ip_dst
            push_vlan:0x8100
            set_field:4101->vlan_vid
            resubmit(,2)
         2. priority 32768
            NORMAL
             -> learning decides for port 1, VLAN 5


        """), "\(text)")
    #expect(text.hasPrefix("Flow: tcp,in_port=1,"))
    #expect(text.contains("\nFinal flow: tcp,reg0=0x3,in_port=1,dl_vlan=5,"))
    #expect(text.contains("\nMegaflow: recirc_id=0,eth,tcp,in_port=1,"))
    #expect(
      text.hasSuffix(
        """
        Datapath actions: set(nw_dst=10.0.0.9,nw_ttl=63),push_vlan(vid=5,pcp=0),NORMAL
        Decided by: table 2: priority 32768

        """), "\(text)")
  }

  @Test func `The action set stands at the end, and its flow decides`() throws {
    let report = try Self.report("in_port=1,udp", Self.pipeline)
    #expect(
      report.steps == [
        " 0. in_port=1, priority 10, cookie 0x9", "    resubmit(,10)", "    10. ip, priority 32768",
        "            load:0x3->NXM_NX_REG0[0..15]", "    resubmit(,1)",
        "     1. udp, priority 32768, cookie 0x7",
        "            write_actions(output:2)", "            goto_table:3", "         3. No match.",
        "            drop", "--. Executing action set:", "    output:2",
      ])
    #expect(report.decisions == ["table 1: udp, priority 32768, cookie 0x7"])
    #expect(report.actions == "output:2" && report.drop == nil)
  }

  @Test func `Buckets are indented, and each output has its form in braces`() throws {
    let report = try Self.report(
      "in_port=9,tcp", ["in_port=9,tcp,actions=group:6,output:1"],
      groups: ["group_id=6,type=all,bucket=set_field:10.0.0.1->ip_dst,output:1,bucket=output:2"])
    #expect(
      report.steps == [
        " 0. tcp,in_port=9, priority 32768", "    group:6", "    bucket 0",
        "            set_field:10.0.0.1->ip_dst", "            output:1", "    bucket 1",
        "            output:2",
        "    output:1",
      ])
    #expect(report.actions == "{set(nw_dst=10.0.0.1),output:1},output:2,output:1")
    #expect(report.finalFlow == nil)
  }

  @Test func `A dropped frame names the flow that ends its way, or the table without one`() throws {
    let dropped = try Self.report("in_port=1,icmp", Self.pipeline)
    #expect(dropped.decisions == ["table 1: icmp, priority 32768"])
    #expect(dropped.actions == "drop" && dropped.drop != nil)
    #expect(dropped.steps.suffix(2) == [" 1. icmp, priority 32768", "    drop"])

    let missed = try Self.report("in_port=2,icmp", Self.pipeline)
    #expect(missed.steps == [" 0. No match.", "    drop"])
    #expect(missed.decisions == ["table 0, in which no flow matches"])
    #expect(missed.text(bridge: "br0").contains("\nDropped: "))

    let expired = try Self.report("in_port=1,tcp,nw_ttl=1", Self.pipeline)
    #expect(expired.decisions == ["table 1: tcp, priority 32768"])
  }

  @Test func `Several flows that output are all named, in order`() throws {
    let report = try Self.report(
      "in_port=1", ["priority=1,actions=output:2,resubmit(,1)", "table=1,priority=2,actions=output:9"])
    #expect(report.decisions == ["table 0: priority 1", "table 1: priority 2"])
  }

  @Test func `Thousands of tables inside one another cost no stack and little text`() throws {
    let flows = (0..<UInt16(200)).map { table in "table=\(table),actions=resubmit(,\(table + 1)),output:2" }
    let report = try Self.report("in_port=1", flows)
    #expect(report.steps.count > 400)
    #expect(report.steps.allSatisfy { $0.count < 1000 })
  }

  @Test func `A bridge with only NORMAL makes no cached entry, and the report says so`() throws {
    let report = try Self.report("in_port=1", ["priority=0,actions=NORMAL"])
    #expect(report.text(bridge: "br0", isCached: false).contains("Megaflow: none"))
  }
}
