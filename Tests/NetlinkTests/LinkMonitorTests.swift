import CLinux
import Glibc
import Linux
import Synchronization
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

/// Runs `body` on a thread with a network namespace of its own; returns what it found wrong.
private func inNamespace(_ body: @escaping @Sendable ((Bool, String) -> Void) throws -> Void) throws
  -> [String]
{
  let failures = Mutex<[String]>([])
  let thread = try Thread(name: "namespace") {
    guard cl_unshare_network() == 0 else {
      failures.withLock { $0.append("cannot make a network namespace") }
      return
    }
    do {
      try body { condition, text in if !condition { failures.withLock { $0.append(text) } } }
    } catch {
      failures.withLock { $0.append("\(error)") }
    }
  }
  thread.join()
  return failures.withLock { $0 }
}

/// Runs a command in the calling thread's namespace.
private func shell(_ command: String) throws {
  guard system(command) == 0 else { throw NetlinkError("failed: \(command)") }
}

@Suite(.enabled(if: isRoot, "needs root: makes network namespaces"))
struct LinkMonitorTests {
  @Test func followsLinks() throws {
    let failures = try inNamespace { check in
      let loop = try EventLoop()
      try shell("ip link add early type veth peer name other")
      let monitor = try LinkMonitor(loop: loop)
      var calls = 0
      let stop = monitor.observe { calls += 1 }
      guard let early = monitor.link(named: "early") else {
        return check(false, "the first list lacks a link")
      }
      check(early.kind == "veth" && !early.isUp && early.mtu == 1500, "\(early)")
      check(early.macAddress?.split(separator: ":").count == 6, "\(early)")

      try shell("ip link set early up; ip link set other up; ip link set early mtu 1400")
      check(
        loop.run(atMost: 2000) {
          monitor.link(index: early.index)?.isRunning == true && monitor.link(named: "early")?.mtu == 1400
        }, "\(String(describing: monitor.link(named: "early")))")
      check(monitor.link(named: "early")?.speed == 10_000_000_000, "no speed")
      check(monitor.link(named: "early")?.fullDuplex == true, "no duplex")
      check(calls > 0, "the observer was not called")

      try shell("ip link set early down; ip link set early name late")
      check(loop.run(atMost: 2000) { monitor.link(named: "late")?.index == early.index }, "no rename")
      check(monitor.link(named: "early") == nil, "the old name stays")

      stop()
      calls = 0
      try shell("ip link del late")
      check(loop.run(atMost: 2000) { monitor.link(index: early.index) == nil }, "no deletion")
      check(monitor.link(named: "other") == nil, "the peer stays")
      check(calls == 0, "called after it was stopped")
    }
    #expect(failures == [])
  }

  /// A bridge "deletes" its ports in messages of its own family.
  @Test func aPortThatLeavesABridgeStays() throws {
    let failures = try inNamespace { check in
      let loop = try EventLoop()
      let monitor = try LinkMonitor(loop: loop)
      try shell("ip link add name br0 type bridge; ip link add left type veth peer name right")
      try shell("ip link set left master br0")
      check(
        loop.run(atMost: 2000) {
          monitor.link(named: "left")?.master != nil
            && monitor.link(named: "left")?.master == monitor.link(named: "br0")?.index
        }, "\(String(describing: monitor.link(named: "left")))")
      try shell("ip link set left nomaster")
      check(loop.run(atMost: 2000) { monitor.link(named: "left")?.master == nil }, "still enslaved")
      check(monitor.link(named: "left") != nil, "taken for deleted")
    }
    #expect(failures == [])
  }

  /// More changes than the socket holds: what was lost is found again.
  @Test func lostMessagesAreMadeUpFor() throws {
    let failures = try inNamespace { check in
      let loop = try EventLoop()
      let monitor = try LinkMonitor(loop: loop, bufferBytes: 4096)
      try shell(
        "for i in $(seq 40); do ip link add a$i type veth peer name b$i; done; ip link del a40; "
          + "ip link set a39 mtu 1300")
      check(
        loop.run(atMost: 5000) {
          monitor.link(named: "a39")?.mtu == 1300 && monitor.link(named: "a40") == nil
            && monitor.links.count == 2 * 39 + 1
        }, "\(monitor.links.count) links")
      check(monitor.overruns > 0, "nothing was lost: the test shows nothing")
    }
    #expect(failures == [])
  }

  @Test func linksAreConfigured() throws {
    let failures = try inNamespace { check in
      let loop = try EventLoop()
      let monitor = try LinkMonitor(loop: loop)
      let configuration = try LinkConfiguration()
      try shell("ip link add left type veth peer name right")
      check(loop.run(atMost: 2000) { monitor.link(named: "left") != nil }, "no link")
      let index = monitor.link(named: "left")?.index ?? 0
      try configuration.setMTU(1399, index: index)
      try configuration.setMAC("02:00:00:00:00:42", index: index)
      try configuration.setUp(true, index: index)
      check(
        loop.run(atMost: 2000) {
          let link = monitor.link(index: index)
          return link?.mtu == 1399 && link?.macAddress == "02:00:00:00:00:42" && link?.isUp == true
        }, "\(String(describing: monitor.link(index: index)))")
      try configuration.setUp(false, index: index)
      check(loop.run(atMost: 2000) { monitor.link(index: index)?.isUp == false }, "still up")

      for (text, action) in [
        ("MTU", { () throws(NetlinkError) in try configuration.setMTU(70_000_000, index: index) }),
        ("03:zz", { () throws(NetlinkError) in try configuration.setMAC("03:zz", index: index) }),
        ("interface 999", { () throws(NetlinkError) in try configuration.setUp(true, index: 999) }),
      ] as [(String, () throws(NetlinkError) -> Void)] {
        do {
          try action()
          check(false, "\(text) was accepted")
        } catch {
          check("\(error)".contains(text), "\(error)")
        }
      }
    }
    #expect(failures == [])
  }
}
