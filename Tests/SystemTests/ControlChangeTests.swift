import Glibc
import Linux
import Synchronization
import Testing
import VirtioTesting

// Two guests exchange frames all the time; whatever else is configured, not one is lost.
extension System {
  @Suite struct ControlChanges {
    @Test func `A hundred ports come and go, and traffic they do not concern loses no frame`() throws {
      try withLab { lab in
        for port in ["vm1", "vm2"] {
          try lab.ctl("add-port", "br0", port, "tag=10", "--", "set", "Interface", port, "type=vhost-user")
        }
        let traffic = try Traffic(lab.socket("vm1"), lab.socket("vm2"))
        let before = traffic.received
        try changeEverything(lab)
        try eventually("traffic goes on") { traffic.received > before + 10_000 }
        traffic.stop()

        #expect(traffic.sent == traffic.received, "\(traffic.sent) sent, \(traffic.received) received")
        let (sent, received) = (traffic.sent, traffic.received)
        try eventually("the counters agree") {
          try lab.counter("vm1", "rx_packets") == sent && lab.counter("vm2", "tx_packets") == received
        }
        #expect(try lab.counter("vm1", "rx_dropped") == 0)
        #expect(try lab.counter("vm2", "tx_dropped") == 0)
      }
    }

    private func changeEverything(_ lab: Lab) throws {
      func vhost(_ port: String, _ bridge: String, _ more: String...) -> [String] {
        ["add-port", bridge, port] + more + ["--", "set", "Interface", port, "type=vhost-user"]
      }
      func together(_ commands: [[String]]) throws {
        let output = try lab.attempt(Array(commands.joined(separator: ["--"])))
        guard output.succeeded else { throw HarnessError("\(output)") }
      }
      // In ones, with their VLANs changing on the way.
      for number in 1...100 {
        try together([vhost("one\(number)", "br0", "tag=20")])
        if number % 4 == 0 { try lab.ctl("set", "Port", "one\(number)", "tag=\(20 + number)") }
        if number % 10 == 0 { try lab.ctl("set", "Port", "one\(number)", "tag=[]", "trunks=10,30") }
      }
      for number in 1...100 { try lab.ctl("del-port", "one\(number)") }
      // In one transaction, with a bridge; and all away in another.
      try together(
        [["add-br", "br1"]] + (1...100).map { vhost("many\($0)", $0 % 2 == 0 ? "br0" : "br1", "tag=21") })
      try lab.ctl("set", "Bridge", "br1", "other_config:mac-table-size=20000")
      try lab.ctl("set", "Bridge", "br0", "other_config:mac-aging-time=100")
      try together([["del-br", "br1"]] + (1...50).map { ["del-port", "many\($0 * 2)"] })
    }
  }
}

/// Frames from one guest to another, never more under way than the receiver has room for.
private final class Traffic: @unchecked Sendable {
  private let sender: StreamingGuest
  private let receiver: StreamingGuest
  private let ended = Atomic<Bool>(false)
  private let count = Atomic<Int>(0)
  private var thread: Thread?
  private static let addresses: [[UInt8]] = [[2, 0, 0, 0, 9, 1], [2, 0, 0, 0, 9, 2]]

  init(_ first: String, _ second: String) throws {
    sender = try StreamingGuest(connecting: first)
    receiver = try StreamingGuest(connecting: second)
    thread = try Thread(name: "traffic") { [self] in run() }
  }

  deinit { stop() }

  var received: Int { count.load(ordering: .acquiring) }
  /// After `stop`.
  private(set) var sent = 0

  /// Ends, once all that was sent has arrived, or has not for five seconds.
  func stop() {
    ended.store(true, ordering: .releasing)
    thread.take()?.join()
  }

  private func run() {
    // The switch knows the receiver from now on: every frame goes to it alone.
    receiver.send(1) { Self.write($0, to: 0, from: 1) }
    while receiver.waiting > 0 { sched_yield() }
    while sender.receive({ _ in }) == 0 { sched_yield() }
    var offered = 0
    while !ended.load(ordering: .acquiring) {
      let room = 512 - (offered - received)
      if room > 0 { offered += sender.send(min(room, 64)) { Self.write($0, to: 1, from: 0) } }
      take()
    }
    sent = offered
    let end = monotonicNanoseconds() + 5_000_000_000
    while received < offered && monotonicNanoseconds() < end { take() }
  }

  private func take() { count.add(receiver.receive { _ in }, ordering: .releasing) }

  private static func write(_ buffer: UnsafeMutableRawPointer, to target: Int, from source: Int) -> Int {
    let bytes = addresses[target] + addresses[source] + [0x88, 0xB5]
    buffer.copyMemory(from: bytes, byteCount: bytes.count)
    return 64
  }
}
