import Glibc
import Testing

// The harness itself, so that a failure elsewhere is the switch's.
extension System {
  @Suite struct Harness {
    @Test func `A program's output and status are told apart`() throws {
      let output = try run(["sh", "-c", "echo out; echo err >&2; exit 3"])
      #expect(output.status == 3)
      #expect(output.text == "out")
      #expect(output.standardError == "err\n")
      #expect(try run(["sh", "-c", "kill -9 $$"]).status == 128 + 9)
    }

    @Test func `A program that does not end is killed and named`() throws {
      #expect(throws: HarnessError.self) { try run(["sleep", "1000"], within: 0.1) }
    }

    @Test func `Two namespaces joined by a veth pair ping each other`() throws {
      let (left, right) = (try Namespace(), try Namespace())
      try withExtendedLifetime((left, right)) {
        try left.addVeth("left0", peer: "right0", in: right)
        try left.configure("left0", address: "10.0.0.1/24")
        try right.configure("right0", address: "10.0.0.2/24")
        #expect(try left.ping("10.0.0.2", count: 2).succeeded)
        #expect(!(try left.attempt(["ping", "-c", "1", "-W", "1", "10.0.0.3"])).succeeded)
      }
    }

    @Test(.needsGuests) func `A guest answers commands and comes back from a reboot and from being killed`()
      throws
    {
      let guest = try Guest(socket: nil, mac: "52:54:00:00:00:01", address: "10.0.0.1")
      try withExtendedLifetime(guest) {
        try guest.start()
        let failure = try guest.run("echo one; echo two >&2; exit 7")
        #expect(failure.status == 7)
        #expect(failure.standardOutput == "one\ntwo\n")
        #expect(try guest.must("ip address show eth0").contains("inet 10.0.0.1/24"))
        try guest.must("touch /tmp/before")
        try guest.reboot()
        #expect(!(try guest.run("test -e /tmp/before")).succeeded)
        guest.kill()
        #expect(!guest.isRunning)
        try guest.start()
        #expect(try guest.run("true").succeeded)
      }
    }
  }
}
