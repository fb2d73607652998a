import Glibc
import JSONRPC

/// What QEMU said of a migration: milliseconds.
///
/// QEMU before 9.0 loses what an emulated processor writes to a page it has in its TLB when the page is sent. So a guest
/// that runs on meanwhile should fill that anew all the time (`Migration.keepSafe`).
struct Migration {
  let total: Int
  let downtime: Int

  /// Has the guest change its address space every few milliseconds.
  static func keepSafe(_ guest: Guest) throws {
    try guest.must("while /bin/busybox usleep 1000; do :; done >/dev/null 2>&1 &")
  }

  /// Moves a running guest to a QEMU that waits for it; afterwards the first one's guest is stopped.
  @discardableResult
  static func run(from source: Guest, to destination: Guest) throws -> Migration {
    let path = Scratch.shared.path("migration-\(Scratch.shared.number())")
    try destination.monitor().run("migrate-incoming", ["uri": .string("unix:\(path)")])
    // Slow enough that the guest runs on for some seconds while its memory is sent, once and then what changed. Were
    // all of it sent while the guest is down, a dirty log would not be needed.
    try source.monitor().run(
      "migrate-set-parameters", ["max-bandwidth": 20_000_000, "downtime-limit": 200])
    try source.monitor().run("migrate", ["uri": .string("unix:\(path)")])
    var result: JSON = nil
    try eventually("the guest has moved", within: 60) {
      result = try source.monitor().run("query-migrate")
      let status = result["status"]?.string
      guard status != "failed" else { throw HarnessError("the migration failed: \(result)") }
      return status == "completed"
    }
    let passes = result["ram"]?["dirty-sync-count"]?.integer ?? 0
    guard passes > 2 else { throw HarnessError("the guest was down while all was sent: \(result)") }
    try eventually("the guest is at its destination") {
      let status = try destination.monitor().run("query-status")["status"]?.string
      return status == (destination.options.isPaused ? "paused" : "running")
    }
    return Migration(
      total: Int(result["total-time"]?.integer ?? 0), downtime: Int(result["downtime"]?.integer ?? 0))
  }
}

/// A TCP transfer to a guest that goes on while the guest moves.
struct SlowTransfer {
  private let sender: Program
  private let digest: String

  /// Starts it, and waits until some of it has arrived.
  init(megabytes: Int, from source: Host, to sink: Guest) throws {
    let file = Scratch.shared.path("random-\(Scratch.shared.number())")
    try must(["dd", "if=/dev/urandom", "of=\(file)", "bs=1M", "count=\(megabytes)"], within: 60)
    digest = String(try must(["sha256sum", file]).prefix(64))
    // busybox's nc hangs up when its input ends, so that is a pipe held open.
    try sink.must("mkfifo /tmp/hold; (nc -l -p 5020 0<>/tmp/hold | sha256sum >/tmp/digest) >/dev/null 2>&1 &")
    try eventually("a listener in the guest") { try sink.must("netstat -ltn").contains(":5020 ") }
    sender = try source.namespace.start(["socat", "-u", "FILE:\(file)", "TCP:\(sink.address):5020"])
    let received = "cat /sys/class/net/eth0/statistics/rx_bytes"
    let before = Int(try sink.must(received)) ?? 0
    try eventually("the transfer is under way") { try Int(sink.must(received)) ?? 0 > before + 1_000_000 }
  }

  var isRunning: Bool { sender.isRunning }

  /// Waits for its end; says whether the guest, wherever it is now, got what was sent.
  func isIntact(at sink: Guest) throws -> Bool {
    guard try sender.wait(within: 120) == 0 else { throw HarnessError("the sender of the transfer failed") }
    var received = ""
    try eventually("the guest has all bytes", within: 60) {
      received = String(try sink.must("cat /tmp/digest").prefix(64))
      return !received.isEmpty
    }
    return received == digest
  }
}

/// A hundred pings a second, to see for how long a station does not answer.
struct PingStream {
  private let program: Program
  private let log: String

  init(from source: Host, to sink: Guest) throws {
    log = Scratch.shared.path("pings-\(Scratch.shared.number())")
    program = try Program(
      source.namespace.wrap(["ping", "-n", "-D", "-i", "0.01", sink.address]), standardOutput: log)
    let log = log
    try eventually("a ping is answered") { readFile(log).contains("bytes from") }
  }

  /// Seconds since 1970, as in what it prints.
  static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// When pings were answered.
  private var times: [Double] {
    readFile(log).split(separator: "\n").filter { $0.contains("bytes from") }.compactMap {
      Double($0.dropFirst().prefix { $0 != "]" })
    }
  }

  func firstAnswer(after time: Double) -> Double? { times.first { $0 >= time } }

  /// Ends it, and sums it up for a person.
  @discardableResult
  func end() throws -> String {
    program.signal(SIGINT)
    try program.wait()
    let lines = readFile(log).split(separator: "\n")
    let times = times
    let gap = zip(times, times.dropFirst()).map { $1 - $0 }.max() ?? 0
    let summary = lines.first { $0.contains("packets transmitted") } ?? "no summary"
    return "longest silence \(Int(gap * 1000)) ms; \(summary)"
  }
}
