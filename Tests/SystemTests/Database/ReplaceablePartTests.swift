import Glibc
import Testing

// The parts are replaceable: our switch on their server (also a cluster that loses its leader), their switch on our
// server, and the same configuration looks the same on both.
extension System {
  @Suite(.needs("ovs-vsctl", "ovsdb-client", "ovsdb-server", "ovs-appctl", "ovs-vswitchd"))
  struct ReplaceableParts {
    @Test(arguments: DatabaseKind.allCases)
    func `ovs-vswitchd runs on the server`(kind: DatabaseKind) throws {
      try Matrix.check(kind.rawValue, ["ovs-vswitchd"], in: .databases) {
        try withDatabase(kind, switching: false) { lab, database in
          let vswitchd = try startOpenVSwitch(lab, database)
          func vsctl(_ arguments: String...) throws -> Output {
            try run(["ovs-vsctl", "--timeout=20", "--db=\(database.remote)"] + arguments)
          }
          let made = try vsctl("add-br", "brn", "--", "set", "Bridge", "brn", "datapath_type=netdev")
          try #require(made.succeeded, "\(made)")
          try #require(try vsctl("get", "Interface", "brn", "ofport").text == "65534")
          let refused = try vsctl("add-port", "brn", "nothere")
          try #require(
            refused.standardError.contains("Error detected while setting up 'nothere'"), "\(refused)")
          let shown = try must(["ovs-appctl", "-t", "\(lab.directory)/v.ctl", "dpif/show"])
          try #require(shown.contains("brn 65534/"), "\(shown)")
          // What it fills in has arrived, ephemeral columns too.
          try eventually("the status is there") {
            try vsctl("get", "Bridge", "brn", "datapath_id").text.count > 10
              && vsctl("get", "Open_vSwitch", ".", "iface_types").text.contains("internal")
          }
          try #require(try vsctl("del-br", "brn").succeeded)
          vswitchd.signal(15)
          try vswitchd.wait()
        }
      }
    }

    /// What somebody does who comes from Open vSwitch, and goes back.
    @Test func `A conf.db of ovs-vswitchd is opened, changed, and read back by ovsdb-tool`() throws {
      try Matrix.check(DatabaseKind.ours.rawValue, ["ovsdb-tool"], in: .databases) {
        let file = Scratch.shared.path("conf-\(Scratch.shared.number()).db")
        defer { unlink(file) }
        try withDatabase(.reference, switching: false) { lab, database in
          let vswitchd = try startOpenVSwitch(lab, database)
          try must(
            [
              "ovs-vsctl", "--timeout=20", "--db=\(database.remote)", "add-br", "brn", "--", "set", "Bridge",
              "brn",
              "datapath_type=netdev", "other_config:mac-aging-time=77",
            ])
          vswitchd.signal(15)
          try vswitchd.wait()
          database.programs[0].kill()
          try must(["cp", "\(lab.directory)/conf.db", file])
        }
        try withLab(start: false) { lab in
          try must(["cp", file, "\(lab.directory)/conf.db"])
          try lab.startDatabase()
          try #require(
            try lab.vsctl("--no-wait", "get", "Bridge", "brn", "other_config:mac-aging-time").text == "\"77\""
          )
          try #require(
            try lab.vsctl("--no-wait", "set", "Bridge", "brn", "other_config:mac-aging-time=88").succeeded)
          lab.switchdbd?.signal(15)
          try lab.switchdbd?.wait()
          let path = "\(lab.directory)/conf.db"
          let rows = try must([
            "ovsdb-tool", "query", path,
            #"["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name","other_config"]}]"#,
          ])
          try #require(rows.contains(#"["mac-aging-time","88"]"#) && rows.contains("brn"), "\(rows)")
          try #require(try must(["ovsdb-tool", "show-log", "-m", path]).contains("brn"))
          try must(["ovsdb-tool", "compact", path])
          try must([
            "ovsdb-tool", "transact", path,
            #"["Open_vSwitch",{"op":"update","table":"Bridge","where":[],"row":{"fail_mode":"secure"}}]"#,
          ])
          try lab.startDatabase()
          try #require(try lab.vsctl("--no-wait", "get", "Bridge", "brn", "fail_mode").text == "secure")
        }
      }
    }

    private func startOpenVSwitch(_ lab: Lab, _ database: RunningDatabase) throws -> Program {
      try Program(
        [
          "ovs-vswitchd", database.remote, "--no-chdir", "--pidfile=\(lab.directory)/v.pid",
          "--unixctl=\(lab.directory)/v.ctl", "--disable-system", "--disable-system-route", "-vconsole:off",
          "-vsyslog:off", "--log-file=\(lab.directory)/v.log",
        ], environment: ["OVS_RUNDIR": lab.directory], standardOutput: "\(lab.directory)/v.out")
    }

    @Test func `The switch goes on when its cluster loses its leader`() throws {
      try withDatabase(.cluster) { lab, database in
        let first = try lab.makeHost("veth1")
        let second = try lab.makeHost("veth2")
        func vsctl(_ arguments: String...) throws {
          try must(
            ["ovs-vsctl", "--timeout=30", "--retry", "--db=\(database.remote)"] + arguments, within: 40)
        }
        try vsctl("add-port", "br0", "veth1", "--", "add-port", "br0", "veth2")
        try first.reaches(second)
        try database.killLeader()
        // It forwards meanwhile, and then does what the new leader says.
        try first.reaches(second)
        try vsctl("set", "Port", "veth1", "tag=7", "--", "set", "Port", "veth2", "tag=8")
        try eventually("the VLANs are told apart") { try !first.ping(second, count: 1).succeeded }
        try vsctl("set", "Port", "veth2", "tag=7")
        try first.reaches(second)
      }
    }

    /// One configuration, made by the same commands, dumped by the same client.
    @Test func `ovsdb-client dumps the same from both servers`() throws {
      var dumps: [String] = []
      for kind in [DatabaseKind.ours, .reference] {
        try withDatabase(kind, switching: false) { lab, database in
          for command in Self.configuration {
            try must(["ovs-vsctl", "--timeout=20", "--no-wait", "--db=\(database.remote)"] + command)
          }
          dumps.append(comparable(try database.dump()))
        }
      }
      #expect(dumps[0] == dumps[1])
      #expect(dumps[0].contains("veth7"))
    }

    private static let configuration: [[String]] = [
      ["add-br", "br0", "--", "set", "Bridge", "br0", "other_config:mac-table-size=50", "fail_mode=secure"],
      ["add-port", "br0", "veth7", "tag=7", "--", "set", "Interface", "veth7", "mtu_request=9000"],
      ["add-bond", "br0", "bond0", "eth1", "eth2", "lacp=active", "bond_mode=balance-tcp"],
      ["set", "Port", "veth7", "trunks=1,2,4094", "external_ids={a=b,\"c d\"=e}"],
      ["set-controller", "br0", "tcp:127.0.0.1:6653"], ["set-manager", "ptcp:6640:127.0.0.1"],
      [
        "--", "--id=@m", "create", "Mirror", "name=m", "select_all=true", "--", "add", "Bridge", "br0",
        "mirrors", "@m",
      ],
      ["--", "--id=@q", "create", "QoS", "type=linux-htb", "other-config:max-rate=1000000"],
    ]
  }
}
