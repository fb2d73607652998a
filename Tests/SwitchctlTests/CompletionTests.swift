import JSONRPC
import Linux
import OVSDB
import Seeded
import Testing

@testable import SwitchctlCommands

/// What the shells' scripts are answered.
struct CompletionTests {
  let loop: EventLoop
  let server: ProductServer

  init() throws {
    loop = try EventLoop()
    server = try ProductServer(loop)
    let made = Invoked(
      "--db=unix:\(server.socket)", "--no-wait", "add-br", "br0", "--", "add-port", "br0", "p1", "tag=3",
      "--",
      "add-port", "br0", "p2", "--", "add-br", "br1", "--", "add-port", "br1", "q1", "--", "add-br", "fake",
      "br0",
      "7", "--", "set", "Interface", "p1", "external_ids:iface-id=x", "--", "set", "Open_vSwitch", ".",
      "iface_types=tap,internal", "datapaths:netdev=@d", "--", "--id=@d", "create", "Datapath",
      "datapath_version=1",
      loop: loop)
    #expect(made.status == .code(0), "\(made.errors)")
  }

  /// The candidates for the end of the line, without explanations.
  func answer(_ line: String) -> [String] {
    Invoked("--complete", "switchctl --db=unix:\(server.socket) " + line, loop: loop).output
      .split(separator: "\n").map { line in String(line.prefix { $0 != "\t" }) }
  }

  @Test(arguments: [
    ("add-p", ["add-port"]), ("--no-w", ["--no-wait"]), ("--format=j", ["--format=json"]),
    ("-f js", ["json"]),
    ("--data ", ["string", "bare", "json"]), ("--fake-iface ", ["add-bond"]),
    ("--timeout=4 --real ", ["list-br"]),
    ("list-br -- --bootst", ["--bootstrap"]), ("list-br -- --timeo", []), ("list-br -- list-b", ["list-br"]),
    ("db c", ["create", "compact", "check"]), ("db check ", [":files"]),
    ("db backup ", ["Open_vSwitch", ":files"]), ("db nonsense ", []), ("db backup x ", [":files"]),
    ("help add-bond-", ["add-bond-iface"]), ("bogus ", []), ("list-br ", []), ("'list-b", ["list-br"]),
    ("list-ports b", ["br0", "br1"]), ("list-ports f", ["fake"]), ("port-to-br q", ["q1"]),
    ("del-port br0 ", ["fake", "p1", "p2"]), ("del-port br1 ", ["q1"]), ("del-port nobody ", []),
    ("del-port q", ["q1"]), ("set-fail-mode br0 s", ["standalone", "secure"]), ("get-ssl x", []),
    ("set-ssl ", [":files"]), ("--private-key=", [":files"]), ("set-manager pt", ["ptcp:"]),
    ("list br", ["Bridge"]), ("list flow-t", ["Flow_Table"]), ("list o", ["Open_vSwitch"]), ("set o ", ["."]),
    ("get Interface p", ["p1", "p2"]), ("--columns=name list Interface p1 q", ["q1"]), ("get ct_z ", []),
    ("get Interface p1 ofport_", ["ofport_request"]), ("get int p1 external", ["external_ids"]),
    ("get Interface p1 external_ids:", ["external_ids:iface-id"]), ("clear Port p1 ta", ["tag"]),
    ("set Port p1 vlan_mode=na", ["vlan_mode=native-tagged", "vlan_mode=native-untagged"]),
    ("set Port p1 vlan-mode=tr", ["vlan_mode=trunk"]),
    ("set Interface p1 type=", ["type=internal", "type=tap"]),
    ("set Interface p1 external-ids:", ["external_ids:iface-id="]),
    ("set Interface p1 mtu_", ["mtu_request="]),
    ("set Interface p1 external_ids:iface-id=", ["external_ids:iface-id=x"]), ("set Port p1 tag=", ["tag=3"]),
    ("set Interface p1 options", ["options=", "options:"]), ("find Port tag=", ["tag=3", "tag=7"]),
    ("set Bridge br0 stp_enable=", ["stp_enable=true", "stp_enable=false"]),
    ("add-port br0 new lac", ["lacp="]),
    ("add Bridge br0 protocols OpenFlow13 OpenFlow14", ["OpenFlow14"]),
    ("add Interface p1 external_ids ", ["iface-id="]),
    ("remove Interface p1 external_ids ", ["iface-id"]), ("remove Port p1 tag ", ["3"]),
    ("watch Port --cou", ["--count="]), ("watch Interface name -- type=t", ["type=tap"]),
    ("list-dp-cap ", ["netdev"]), ("add-zone-tp netdev ", ["zone="]),
    ("add-zone-tp netdev zone=1 icmp_", ["icmp_first=", "icmp_reply="]), ("comment add", []),
    ("wait-until Interface p1 link_state=", ["link_state=down", "link_state=up"]),
    ("add-br br9 -- add-port br", ["br0", "br1"]),
  ])
  func completes(_ line: String, _ expected: [String]) { #expect(answer(line) == expected, "\(line)") }

  @Test func `A drop-in and a database that does not answer are completed by the schema`() {
    let answer = Invoked("--complete", "ovs-vsctl --db=unix:/nowhere list Brid", loop: loop).output
    #expect(answer == "Bridge\n")
    #expect(Invoked("--complete", "ovs-vsctl --db=unix:/nowhere list-ports ", loop: loop).output == "")
  }

  @Test func `Commands and options are explained`() {
    let line = Invoked("--complete", "switchctl del-b", loop: loop).output
    #expect(line.split(separator: "\n").contains("del-br\tdelete a bridge and all of its ports"), "\(line)")
  }

  /// Whatever was typed: an answer begins with the word, and nothing traps.
  @Test func `Unfinished lines of any kind are answered`() throws {
    var random = SeededRandom(seed: 6)
    let words =
      Command.all.map(\.name) + GlobalOptions.table.map { "--" + $0.syntax.name }
      + [
        "--", "-", "'", "\"", "\\", "=", ":", "br0", "Port", "p1", "tag=", "a b", "é", "", "-t", "--db=x",
        "\"a'", "{",
      ]
    for _ in 0..<400 {
      let line = (0..<Int.random(in: 0...6, using: &random)).map { _ in
        words[Int.random(in: 0..<words.count, using: &random)]
      }.joined(separator: " ")
      let unfinished = UnfinishedLine("switchctl " + line)
      if case .argument = unfinished.place { continue }
      for candidate in Completion.answer("switchctl " + line, loop).split(separator: "\n")
      where candidate != ":files" {
        #expect(candidate.hasPrefix(unfinished.lead + unfinished.word), "\(line)")
      }
    }
  }

  @Test func `Usages are read into parameters`() throws {
    let parameters = try #require(Command.named("add-bond")).parameters
    #expect(
      parameters == [
        Parameter(name: "BRIDGE"), Parameter(name: "PORT"), Parameter(name: "INTERFACE", isRepeated: true),
        Parameter(name: "COLUMN[:KEY]=VALUE", isOptional: true, isRepeated: true),
      ])
    #expect(
      try #require(Command.named("add-br")).parameters == [
        Parameter(name: "BRIDGE"), Parameter(name: "PARENT", isOptional: true),
        Parameter(name: "VLAN", isOptional: true),
      ])
    for command in Command.all {
      let parameters = command.parameters
      let needed = parameters.filter { !$0.isOptional }.count
      // A bond needs two interfaces.
      #expect(
        command.arguments.lowerBound == (command.name == "add-bond" ? needed + 1 : needed), "\(command.name)")
      let most = parameters.contains(where: \.isRepeated) ? Int.max : parameters.count
      #expect(command.arguments.upperBound == most, "\(command.name)")
    }
  }
}
