import Glibc
import Linux
import Testing

/// What the kernel says of one thread.
private struct ThreadPrivileges: Equatable, CustomStringConvertible {
  var name = ""
  var user = uid_t.max
  var effective: UInt64 = .max
  var permitted: UInt64 = .max
  var inheritable: UInt64 = .max
  var bounding: UInt64 = .max
  var ambient: UInt64 = .max
  var noNewPrivileges = false

  init(_ status: String) {
    for line in status.split(separator: "\n") {
      let parts = line.split(separator: "\t", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { continue }
      let bits = UInt64(parts[1], radix: 16) ?? .max
      switch parts[0] {
      case "Name:": name = parts[1]
      case "Uid:": user = parts[1].split(separator: "\t").first.flatMap { uid_t($0) } ?? .max
      case "CapEff:": effective = bits
      case "CapPrm:": permitted = bits
      case "CapInh:": inheritable = bits
      case "CapBnd:": bounding = bits
      case "CapAmb:": ambient = bits
      case "NoNewPrivs:": noNewPrivileges = parts[1] == "1"
      default: break
      }
    }
  }

  var description: String {
    func hexadecimal(_ set: UInt64) -> String { String(set, radix: 16) }
    return "\(name): user \(user), effective \(hexadecimal(effective)), permitted \(hexadecimal(permitted)), "
      + "inheritable \(hexadecimal(inheritable)), bounding \(hexadecimal(bounding)), "
      + "ambient \(hexadecimal(ambient)), no new privileges: \(noNewPrivileges)"
  }

  /// Those of every thread of a process.
  static func all(of process: pid_t) -> [ThreadPrivileges] {
    directoryEntries("/proc/\(process)/task").map { Self(readFile("/proc/\(process)/task/\($0)/status")) }
  }

  static let own = ThreadPrivileges(readFile("/proc/self/status"))

  /// The set of these, as far as this process has them to give.
  static func set(_ capabilities: [Capability]) -> UInt64 {
    capabilities.reduce(0) { $0 | 1 << UInt64($1.rawValue) } & own.permitted
  }
}

/// Every thread has exactly `capabilities`, and can never have more.
private func expectOnly(
  _ capabilities: [Capability], in process: pid_t, user: uid_t = 0,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let threads = ThreadPrivileges.all(of: process)
  #expect(!threads.isEmpty, sourceLocation: sourceLocation)
  for thread in threads {
    var expected = thread
    expected.effective = ThreadPrivileges.set(capabilities)
    expected.permitted = expected.effective
    expected.inheritable = 0
    expected.bounding = 0
    expected.ambient = 0
    expected.noNewPrivileges = true
    expected.user = user
    #expect(thread == expected, sourceLocation: sourceLocation)
  }
}

private let switchNeeds: [Capability] = [
  .changeOwner, .overrideModes, .actAsOwner, .administerNetwork, .rawSockets,
]

/// The process that enters namespaces for the switch.
private func agent(of process: pid_t) throws -> pid_t {
  let children = readFile("/proc/\(process)/task/\(process)/children").split(separator: " ")
  return try #require(children.count == 1 ? children.first.flatMap { pid_t($0) } : nil)
}

private func account(_ name: String) throws -> (user: uid_t, group: gid_t) {
  let entry = try #require(getpwnam(name)).pointee
  return (entry.pw_uid, entry.pw_gid)
}

/// Every kind of port, made by a switch that has dropped its privileges, works.
private func plugInEverything(_ lab: Lab) throws {
  let host = try lab.addHost("veth1")
  let tap = try lab.addTAP("tap1")
  try host.reaches(tap)
  try lab.ctl("set", "Interface", "tap1", "mtu_request=1400")
  try eventually("the TAP in its namespace has the MTU") { try lab.interface("tap1", "mtu") == "1400" }
  #expect(try lab.interface("tap1", "link_state") == "up")

  let daemon = try account("daemon")
  try lab.ctl(
    "add-port", "br0", "vm1", "--", "set", "Interface", "vm1", "type=vhost-user",
    "options:socket-owner=daemon",
    "options:socket-mode=0620")
  var status = stat()
  #expect(lstat(lab.socket("vm1"), &status) == 0)
  #expect(status.st_uid == daemon.user)
  #expect(status.st_mode & 0o777 == 0o620)
  let guest = try UnixSocket.connect(lab.socket("vm1"))
  try eventually("the front-end is connected") {
    try lab.interface("vm1", "status:status") == "connected"
  }
  withExtendedLifetime(guest.raw) {}

  // As QEMU run by another user leaves it.
  let path = lab.socket("vm2.sock")
  let listener = try UnixSocket.listen(path, mode: 0o600)
  #expect(chown(path, daemon.user, daemon.group) == 0)
  try lab.ctl(
    "add-port", "br0", "vm2", "--", "set", "Interface", "vm2", "type=vhost-user-client",
    "options:vhost-server-path=\(path)")
  var connection: Int32 = -1
  try eventually("the switch connects") {
    connection = (try UnixSocket.accept(listener.raw))?.release() ?? -1
    return connection >= 0
  }
  close(connection)
}

extension System {
  @Suite struct Privileges {
    @Test func `The switch keeps five capabilities, and every kind of port still works`() throws {
      try withLab { lab in
        let process = try #require(lab.switchd).pid
        try plugInEverything(lab)
        // Poll threads that start later too.
        try lab.ctl("set", "Open_vSwitch", ".", "other_config:pmd-cpu-mask=3")
        try eventually("there are two poll threads") {
          ThreadPrivileges.all(of: process).count { $0.name.hasPrefix("poll") } == 2
        }
        expectOnly(switchNeeds, in: process)
        expectOnly([.administerSystem], in: try agent(of: process))
      }
    }

    @Test func `As another user it keeps the same, and every kind of port still works`() throws {
      try withLab(start: false) { lab in
        try lab.startSwitch(options: ["--user=nobody"])
        try lab.ctl("add-br", "br0")
        let process = try #require(lab.switchd).pid
        try plugInEverything(lab)
        let nobody = try account("nobody")
        expectOnly(switchNeeds, in: process, user: nobody.user)
        expectOnly([.administerSystem], in: try agent(of: process), user: nobody.user)
        for file in ["db.sock", "switchd.pid", "switchd.\(process).ctl", "conf.db"] {
          var status = stat()
          #expect(lstat("\(lab.directory)/\(file)", &status) == 0)
          #expect(status.st_uid == nobody.user && status.st_gid == nobody.group, "\(file)")
        }
        lab.switchd?.signal(SIGTERM)
        #expect(try lab.switchd?.wait(within: 10) == 0)
        #expect(!exists("\(lab.directory)/switchd.pid"))
        #expect(!exists(lab.database))
      }
    }

    @Test func `The agent for namespaces ends with the switch, also when that is killed`() throws {
      try withLab { lab in
        let process = try agent(of: try #require(lab.switchd).pid)
        lab.switchd?.kill()
        try eventually("it is gone") { kill(process, 0) != 0 }
      }
    }

    @Test func `The database server keeps no capability, and compacts its file`() throws {
      try withLab(start: false) { lab in
        try lab.startDatabase()
        try lab.ctl("--no-wait", "add-br", "br0")
        expectOnly([], in: try #require(lab.switchdbd).pid)
        #expect(try lab.vsctl("br-exists", "br0").succeeded)
        try compact(lab)
      }
    }

    @Test func `The database server runs as the user whose directory it is`() throws {
      try withLab(start: false) { lab in
        let nobody = try account("nobody")
        #expect(chown(lab.directory, nobody.user, nobody.group) == 0)
        try lab.startDatabase(options: ["--user=nobody"])
        try lab.ctl("--no-wait", "add-br", "br0")
        expectOnly([], in: try #require(lab.switchdbd).pid, user: nobody.user)
        try compact(lab)
        var status = stat()
        #expect(lstat("\(lab.directory)/conf.db", &status) == 0 && status.st_uid == nobody.user)
      }
    }

    private func compact(_ lab: Lab) throws {
      let process = try #require(lab.switchdbd).pid
      let before = readFile("\(lab.directory)/conf.db")
      try must(
        ["ovs-appctl", "-t", "\(lab.directory)/switchdbd.\(process).ctl", "ovsdb-server/compact"])
      #expect(readFile("\(lab.directory)/conf.db") != before)
    }

    @Test func `A directory that the user cannot write is refused by name`() throws {
      try withLab(start: false) { lab in
        let output = try lab.runDaemon(
          "switchdbd", ["--rundir=\(lab.directory)", "--user=nobody", "\(lab.directory)/conf.db"])
        #expect(output.status == 1)
        #expect(output.standardError.contains("\(lab.directory), for sockets and the pid file,"), "\(output)")
        #expect(output.standardError.contains("belongs to root and cannot be written by nobody"), "\(output)")
      }
    }

    @Test func `A database in another user's directory is refused before it is opened`() throws {
      try withLab(start: false) { lab in
        let directory = "\(lab.directory)/theirs"
        let daemon = try account("daemon")
        #expect(mkdir(directory, 0o755) == 0 && chown(directory, daemon.user, daemon.group) == 0)
        let output = try lab.runDaemon(
          "switchdbd", ["--rundir=\(lab.directory)", "\(directory)/conf.db"])
        #expect(output.status == 1)
        #expect(output.standardError.contains("start with --user=daemon"), "\(output)")
      }
    }

    @Test func `Without root the switch says what it cannot do, and does the rest`() throws {
      try withLab(start: false) { lab in
        let nobody = try account("nobody")
        #expect(chown(lab.directory, nobody.user, nobody.group) == 0)
        try lab.startSwitch(
          wrapper: ["setpriv", "--reuid=\(nobody.user)", "--regid=\(nobody.group)", "--clear-groups"])
        let process = try #require(lab.switchd).pid
        for thread in ThreadPrivileges.all(of: process) {
          #expect(thread.user == nobody.user && thread.permitted == 0 && thread.noNewPrivileges, "\(thread)")
        }
        for capability in switchNeeds + [.administerSystem] {
          #expect(lab.log.contains("without \(capability.name) "), "\(lab.log)")
        }
        #expect(readFile("/proc/\(process)/task/\(process)/children").isEmpty)

        // The bridge is there, without a device for the host.
        let bridge = try lab.attempt("add-br", "br0")
        #expect(bridge.standardError.contains("grant CAP_NET_ADMIN"), "\(bridge)")
        try lab.ctl("add-port", "br0", "vm1", "--", "set", "Interface", "vm1", "type=vhost-user")
        #expect(UnixSocket.isListening(lab.socket("vm1")))
        let refused = try lab.attempt("add-port", "br0", "tap1", "--", "set", "Interface", "tap1", "type=tap")
        #expect(refused.status == 1)
        #expect(refused.standardError.contains("permission denied"), "\(refused)")
      }
    }

    @Test func `A user that cannot be become is named`() throws {
      try withLab(start: false) { lab in
        let unknown = try lab.runDaemon("switchd", ["--rundir=\(lab.directory)", "--user=no-such-user"])
        #expect(unknown.status == 2)
        #expect(unknown.standardError.contains("there is no user \"no-such-user\""), "\(unknown)")

        let nobody = try account("nobody")
        #expect(chown(lab.directory, nobody.user, nobody.group) == 0)
        let command = ["setpriv", "--reuid=\(nobody.user)", "--regid=\(nobody.group)", "--clear-groups"]
        let refused = try run(
          command + ["\(Location.programs)/switchd", "--rundir=\(lab.directory)", "--user=daemon"])
        #expect(refused.status == 1)
        #expect(refused.standardError.contains("user daemon"), "\(refused)")
        #expect(!exists(lab.database))
      }
    }
  }
}
