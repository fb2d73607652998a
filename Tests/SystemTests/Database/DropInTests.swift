import Linux
import Glibc
import Linux
import Testing

// `switchctl` through a link called ovs-vsctl: what libvirt, os-vif and Ansible run, waiting for the switch.
extension System {
  @Suite(.needs("ovs-vsctl", "ovsdb-client")) struct DropIn {
    /// The program through such a link, in a directory of its own.
    private static func link() throws -> String {
      let path = Scratch.shared.path("names-\(Scratch.shared.number())")
      mkdir(path, 0o755)
      guard symlink("\(Location.programs)/switchctl", "\(path)/ovs-vsctl") == 0 else {
        throw HarnessError("cannot make the link \(path)/ovs-vsctl")
      }
      return "\(path)/ovs-vsctl"
    }

    /// A switch, and a program called ovs-vsctl that finds it by the environment, as scripts do.
    private struct Machine {
      let lab: Lab
      let program: String

      func vsctl(_ line: String) throws -> Output {
        try run(
          [program] + line.split(separator: " ").map(String.init), environment: ["OVS_RUNDIR": lab.directory])
      }

      /// What is configured, without what differs from one switch to the next.
      func configuration() throws -> String {
        let columns = [
          "Bridge": ["name", "fail_mode", "external_ids", "other_config", "protocols", "stp_enable"],
          "Port": ["name", "tag", "trunks", "vlan_mode", "other_config", "external_ids", "fake_bridge"],
          "Interface": ["name", "type", "options", "external_ids", "mtu_request"],
        ]
        return try columns.sorted { $0.key < $1.key }.map { table, columns in
          let rows = try must(
            [
              "ovsdb-client", "--no-headings", "-f", "csv", "dump", "unix:\(lab.database)", "Open_vSwitch",
              table,
            ]
              + columns)
          return table + "\n" + rows.split(separator: "\n").sorted().joined(separator: "\n")
        }.joined(separator: "\n")
      }
    }

    private static let script = [
      "--timeout=20 -- --may-exist add-br br-int -- set Bridge br-int external_ids:bridge-id=br-int",
      "--timeout=20 -- --may-exist add-br br-int", "-t 20 br-exists br-int", "-t 20 br-exists br-no",
      "-t 20 list-br",
      "--timeout=20 -- --if-exists del-port vnet0 -- add-port br-int vnet0 -- set Interface vnet0 type=tap external-ids:attached-mac=\"52:54:00:00:00:01\" external-ids:iface-id=\"5f3c9a0e-0000-4000-8000-000000000001\" external-ids:iface-status=active",
      "-t 20 get Interface vnet0 external_ids", "-t 20 --if-exists get Interface vnet0 external_ids:PortData",
      "--timeout=20 --oneline --format=json -- --if-exists del-port br-int tap0 -- add-port br-int tap0 tag=10 -- set Interface tap0 type=internal mtu_request=1400",
      "--timeout=20 --oneline --format=json -- --columns=name,type,external_ids list Interface tap0",
      "-t 20 get Interface tap0 mtu_request", "-t 20 list-ports br-int", "-t 20 port-to-br tap0",
      "-t 20 set Port tap0 trunks=1,2 vlan_mode=native-tagged", "-t 20 get Port tap0 trunks vlan_mode",
      "-t 20 set-fail-mode br-int secure", "-t 20 get-fail-mode br-int", "-t 20 add-br fake0 br-int 7",
      "-t 20 br-to-parent fake0", "-t 20 br-to-vlan fake0", "-t 20 br-set-external-id fake0 a b",
      "-t 20 br-get-external-id fake0", "-t 20 add-port br-int nothere", "-t 20 list-ifaces br-int",
      "-t 20 del-port nothere", "-t 20 del-port nothere", "-t 20 set Port tap0 tag=5000",
      "-t 20 set Port tap0 bogus=1",
      "-t 20 set-controller br-int tcp:127.0.0.1:9", "-t 20 get-controller br-int",
      "-t 20 del-controller br-int",
      "-t 20 --columns=name find Interface type=tap",
      "-t 20 del-br fake0",
      "-t 20 clear Port tap0 trunks tag", "-t 20 --if-exists del-br br-no", "-t 20 nosuch",
      "-t 20 add-port br-int",
    ]

    @Test func `Under that name, scripts of others do to a switch what Debian's program does`() throws {
      try withLab(start: false) { theirs in
        try theirs.startSwitch()
        try withLab(start: false) { ours in
          try ours.startSwitch()
          let reference = Machine(lab: theirs, program: "ovs-vsctl")
          let machine = Machine(lab: ours, program: try Self.link())
          for line in Self.script {
            let (want, have) = (try reference.vsctl(line), try machine.vsctl(line))
            #expect(have.status == want.status, "\(line): \(have)")
            #expect(have.standardOutput.withoutUUIDs == want.standardOutput.withoutUUIDs, "\(line)")
            #expect(
              have.standardError.sentences(of: "ovs-vsctl") == want.standardError.sentences(of: "ovs-vsctl"),
              "\(line)")
          }
          #expect(try machine.configuration() == reference.configuration())
        }
      }
    }

    @Test func `Under that name, it ends by SIGALRM when the time is up, as scripts expect`() throws {
      try withLab(start: false) { lab in
        try lab.startDatabase()
        let machine = Machine(lab: lab, program: try Self.link())
        // No switch answers.
        let output = try machine.vsctl("-t 1 add-br br0")
        #expect(output.status == 128 + SIGALRM, "\(output)")
        #expect(try machine.vsctl("-t 20 list-br").text == "br0")
        #expect(try machine.vsctl("--version").lines.first == "ovs-vsctl (Open vSwitch) 3.1.0")
      }
    }

    @Test func `Anything that reads lines can watch a table`() throws {
      try withLab { lab in
        let output = "\(lab.directory)/watched"
        let watching = try Program(
          [
            "\(Location.programs)/switchctl", "--db=unix:\(lab.database)", "-t", "30", "--format=json",
            "watch",
            "Port", "tag", "--count=2", "--", "name=veth7",
          ], standardOutput: output)
        try eventually("the monitor is there") { UnixSocket.isListening(lab.database) && watching.isRunning }
        _ = try lab.attempt("--no-wait", "add-port", "br0", "veth7", "tag=3")
        try eventually("the insertion is told") {
          readFile(output).contains("\"insert\"") || readFile(output).contains("\"initial\"")
        }
        try lab.ctl("--no-wait", "set", "Port", "veth7", "tag=4")
        #expect(try watching.wait() == 0)
        let last = readFile(output).split(separator: "\n").last ?? ""
        #expect(last.contains(#""new":{"tag":4},"old":{"tag":3}"#), "\(readFile(output))")
      }
    }
  }
}

extension String {
  /// Each UUID replaced by a word.
  fileprivate var withoutUUIDs: String {
    replacing(#/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/#) { _ in "<uuid>" }
  }

  /// The lines of standard error that a program says itself, without those of its log.
  fileprivate func sentences(of program: String) -> [String] {
    split(separator: "\n").map(String.init).filter { $0.hasPrefix(program + ": ") }
  }
}
