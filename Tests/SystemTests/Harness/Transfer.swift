import Glibc

/// One TCP connection carrying random bytes whose digest is compared at both ends.
struct Transfer {
  let bytes: Int
  let sent: String
  let received: String
  var isIntact: Bool { !sent.isEmpty && sent == received }

  /// From namespace to namespace.
  static func send(megabytes: Int, from source: Host, to sink: Host, port: Int = 5001) throws -> Transfer {
    let file = try makeFile(megabytes)
    let result = file + ".received"
    let receiver = try sink.namespace.start([
      "socat", "-u", "TCP-LISTEN:\(port),reuseaddr", "CREATE:\(result)",
    ])
    try source.namespace.run(
      ["socat", "-u", "FILE:\(file)", "TCP:\(sink.address):\(port),retry=50,interval=0.1"], within: 120)
    try receiver.wait(within: 30)
    return Transfer(bytes: megabytes << 20, sent: try digest(file), received: try digest(result))
  }

  /// From guest to namespace.
  static func send(megabytes: Int, from source: Guest, to sink: Host, port: Int = 5002) throws -> Transfer {
    let result = Scratch.shared.path("received-\(Scratch.shared.number())")
    let receiver = try sink.namespace.start([
      "socat", "-u", "TCP-LISTEN:\(port),reuseaddr", "CREATE:\(result)",
    ])
    try eventually("a listener on port \(port)") {
      try sink.namespace.run(["ss", "-Hltn", "sport = :\(port)"]).isEmpty == false
    }
    let sent = try source.must(Self.sending(megabytes, to: sink.address, port), within: 180)
    try receiver.wait(within: 30)
    return Transfer(bytes: megabytes << 20, sent: firstWord(sent), received: try digest(result))
  }

  /// From namespace to guest.
  static func send(megabytes: Int, from source: Host, to sink: Guest, port: Int = 5003) throws -> Transfer {
    let file = try makeFile(megabytes)
    try listen(sink, port)
    try source.namespace.run(
      ["socat", "-u", "FILE:\(file)", "TCP:\(sink.address):\(port),retry=50,interval=0.1"], within: 120)
    let received = try sink.must(Self.receiving, within: 180)
    return Transfer(bytes: megabytes << 20, sent: try digest(file), received: firstWord(received))
  }

  /// From guest to guest.
  static func send(megabytes: Int, from source: Guest, to sink: Guest, port: Int = 5004) throws -> Transfer {
    try listen(sink, port)
    let sent = try source.must(Self.sending(megabytes, to: sink.address, port), within: 180)
    let received = try sink.must(Self.receiving, within: 180)
    return Transfer(bytes: megabytes << 20, sent: firstWord(sent), received: firstWord(received))
  }

  // A command costs a guest some time under emulation, so each of these is one.

  /// Sends a new file, and prints its digest.
  private static func sending(_ megabytes: Int, to address: String, _ port: Int) -> String {
    "dd if=/dev/urandom of=/tmp/sent bs=1M count=\(megabytes) 2>/dev/null && "
      + "nc \(address) \(port) </tmp/sent && sha256sum </tmp/sent && rm /tmp/sent"
  }

  /// Starts to listen. busybox's nc hangs up when its input ends, so that is a pipe held open.
  private static func listen(_ guest: Guest, _ port: Int) throws {
    try guest.must(
      "mkfifo -m 600 /tmp/hold 2>/dev/null; "
        + "(nc -l -p \(port) 0<>/tmp/hold >/tmp/received; touch /tmp/done) >/dev/null 2>&1 & "
        + "until netstat -ltn | grep -q ':\(port) '; do usleep 20000; done")
  }

  /// Waits until the sender has closed its end, and prints the digest of what came.
  private static let receiving =
    "until test -e /tmp/done; do usleep 20000; done; sha256sum </tmp/received && rm /tmp/received /tmp/done"

  private static func makeFile(_ megabytes: Int) throws -> String {
    let file = Scratch.shared.path("random-\(Scratch.shared.number())")
    try must(["dd", "if=/dev/urandom", "of=\(file)", "bs=1M", "count=\(megabytes)"], within: 60)
    return file
  }

  private static func digest(_ file: String) throws -> String { firstWord(try must(["sha256sum", file])) }
  private static func firstWord(_ text: String) -> String { String(text.prefix { $0 != " " && $0 != "\n" }) }
}
