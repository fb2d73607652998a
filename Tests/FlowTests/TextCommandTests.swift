import Testing

@testable import Flow

@Suite struct TextCommandTests {
  let parser = FlowParser()

  @Test func `Lines of a file say what to do with their flow`() throws {
    let commands: [(String, FlowModification.Command)] = [
      ("add ip actions=1", .add), ("modify ip actions=1", .modify),
      ("modify_strict ip actions=1", .modifyStrict),
      ("delete ip", .delete), ("delete_strict ip", .deleteStrict), ("ip actions=1", .add),
      ("  ip actions=1 # why", .add),
      ("delete", .delete),
    ]
    for (line, command) in commands {
      #expect(try parser.modification(line: line)?.command == command, "\(line)")
    }
    for line in ["", "  \t", "# ip actions=1", "   # x"] {
      #expect(try parser.modification(line: line) == nil)
    }
    #expect(throws: FlowError.self) { try parser.modification(line: "add") }
    #expect(throws: FlowError.self) { try parser.modification(line: "remove ip") }
  }

  @Test func `Deletions select by table, cookie, port and group`() throws {
    let all = try parser.flow("", for: .delete)
    #expect(all.table == nil)
    #expect(all.cookieMask == 0)
    let some = try parser.flow("table=3,cookie=0x12/0xf0,out_port=2,out_group=7,tcp", for: .delete)
    #expect(some.table == 3)
    #expect(some.cookieMask == 0xF0)
    #expect(some.flow.cookie == 0x10)
    #expect(some.outputPort == PortNumber(2))
    #expect(some.outputGroup == 7)
    #expect(some.flow.match == (try parser.match("tcp")))
    #expect(try parser.flow("cookie=5/-1", for: .delete).cookieMask == .max)
    #expect(try parser.flow("table=255", for: .delete).table == nil)
    #expect(try parser.flow("priority=5", for: .deleteStrict).flow.priority == 5)
    #expect(try parser.filter("cookie=1/1,ip").command == .delete)
    for text in [
      "priority=5", "cookie=5", "idle_timeout=5", "importance=1", "send_flow_rem", "actions=drop",
      "ip,actions=",
    ] {
      #expect(throws: FlowError.self, "\(text)") { try parser.flow(text, for: .delete) }
    }
  }

  @Test func `Modifications select by a cookie's mask, or set a cookie`() throws {
    let selecting = try parser.flow("cookie=0x5/-1,actions=drop", for: .modify)
    #expect(selecting.cookieMask == .max)
    #expect(selecting.flow.cookie == 5)
    #expect(!selecting.setsCookie)
    #expect(selecting.table == nil)
    let setting = try parser.flow("cookie=0x5,table=2,actions=drop", for: .modify)
    #expect(setting.setsCookie)
    #expect(setting.cookieMask == 0)
    #expect(setting.table == 2)
    for text in [
      "cookie=1/1,cookie=2,actions=drop", "cookie=2,cookie=1/1,actions=drop", "out_port=1,actions=drop", "ip",
    ] {
      #expect(throws: FlowError.self, "\(text)") { try parser.flow(text, for: .modify) }
    }
    #expect(throws: FlowError.self) { try parser.flow("cookie=1/1,actions=drop", for: .add) }
  }

  @Test func `Conditions on headers that are not asked for are taken out, with a warning`() throws {
    var warnings: [String] = []
    let warning = FlowParser(warn: { warnings.append($0) })
    #expect(try warning.match("nw_src=10.0.0.1,in_port=1") == (try parser.match("in_port=1")))
    #expect(
      warnings == [
        "\"in_port=1,nw_src=10.0.0.1\" asks for headers of protocols it does not name; it was taken as \"in_port=1\""
      ])
    warnings = []
    #expect(try warning.match("ip,tp_dst=80") == (try parser.match("ip")))
    #expect(try warning.match("udp,tcp_flags=+syn") == (try parser.match("udp")))
    #expect(
      try warning.match("icmp6,icmpv6_type=128,nd_target=::1") == (try parser.match("icmp6,icmpv6_type=128")))
    #expect(warnings.count == 3)
    warnings = []
    _ = try warning.flow("tcp,nw_src=10.0.0.1,tp_dst=80,actions=drop", for: .add)
    #expect(warnings.isEmpty)
  }

  @Test func `What is not supported is refused by name`() {
    for (text, name) in [
      ("ct_state=+trk,actions=drop", "ct_state"), ("tun_id=5,actions=drop", "tun_id"),
      ("actions=ct(commit)", "ct"),
      ("actions=set_queue:1", "set_queue"), ("actions=load:1->NXM_NX_TUN_ID[]", "NXM_NX_TUN_ID"),
      ("actions=controller(pause)", "controller(pause)"), ("mpls,mpls_label=5,actions=drop", "mpls_label"),
    ] {
      do {
        _ = try parser.flow(text, for: .add)
        Issue.record("accepted: \(text)")
      } catch {
        #expect(error.description.contains("\(name) is not supported: "), "\(error)")
      }
    }
  }

  @Test func `Errors say what to write instead`() {
    let errors = [
      ("tcp,tp_dst=70000", "tcp_dst=\"70000\" is not valid: the value must fit in its 16 bits"),
      (
        "in_port=eth0",
        "in_port=\"eth0\" is not valid: give the number or the name of a port of the bridge, or LOCAL"
      ),
      ("nw_src", "the field nw_src needs a value: nw_src=VALUE"),
      ("nwsrc=1", "there is no field or option \"nwsrc\" here; see ovs-fields(7) for names of fields"),
    ]
    for (text, message) in errors {
      #expect(throws: FlowError(message)) { try parser.match(text) }
    }
    #expect(throws: FlowError("set_field: tcp_dst is only there in frames that match tcp or tcp6")) {
      try parser.flow("ip,actions=set_field:5->tcp_dst", for: .add)
    }
  }
}
