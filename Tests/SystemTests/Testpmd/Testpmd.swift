import Glibc

/// dpdk-testpmd at its prompt, with virtio-user ports: a front-end that polls, and shares no code with QEMU.
///
/// Its memory is a memory file of small pages, so that it needs no huge ones. Ports are told to send to their
/// neighbour: 0 to 1, 1 to 0, 2 to 3…
final class Testpmd {
  /// What it does with frames.
  enum Mode: String, CaseIterable {
    /// What comes by one port leaves by its neighbour, with the addresses of the two, or as it is.
    case mac, io
    /// Only sends, only receives, or sends many flows and throws away what comes.
    case txonly, rxonly, flowgen

    /// Whether something has to begin: frames only go round.
    var circulates: Bool { self == .mac || self == .io }
    /// Whether its port takes what arrives.
    var receives: Bool { self != .txonly }
  }

  /// What a port counts since it was made.
  struct Statistics: Equatable {
    var received = 0
    var sent = 0
    /// Frames that came while it had no memory for them, and frames it could not send.
    var receiveErrors = 0
    var sendErrors = 0

    static func - (left: Statistics, right: Statistics) -> Statistics {
      Statistics(
        received: left.received - right.received, sent: left.sent - right.sent,
        receiveErrors: left.receiveErrors - right.receiveErrors,
        sendErrors: left.sendErrors - right.sendErrors)
    }
  }

  private let program: Program
  private let output: String
  private let input: Int32
  /// Where in the output the answer to the last line starts.
  private var mark = 0

  /// - Parameter devices: its ports and their sockets. All have the same number of queues.
  init(_ devices: [(device: VirtioUser, socket: String)]) throws {
    let name = Scratch.shared.path("testpmd-\(Scratch.shared.number())")
    output = name + ".log"
    guard mkfifo(name + ".in", 0o600) == 0 else { throw HarnessError("cannot make the pipe \(name).in") }
    // For reading too, so that opening does not wait for a reader.
    input = open(name + ".in", O_RDWR | O_CLOEXEC)
    let queues = devices.map(\.device.queues).max() ?? 1
    let ports = devices.enumerated().map { $1.device.argument($0, socket: $1.socket) }
    let peers = devices.indices.map { "--eth-peer=\($0),\(Self.mac($0 ^ 1))" }
    program = try Program(
      // One processor: on a machine with two the switch gets the other.
      ["stdbuf", "-oL", "dpdk-testpmd", "--lcores=0@0,1@0", "--no-pci", "--iova-mode=va", "--no-huge"]
        + [
          "-m", "512", "--no-telemetry", "--file-prefix=\(name.split(separator: "/").joined(separator: "-"))",
        ]
        + ["--log-level=pmd.net.virtio.init:info", "--force-max-simd-bitwidth=512"] + ports
        + ["--", "-i", "--nb-cores=1", "--total-num-mbufs=65536", "--rxq=\(queues)", "--txq=\(queues)"]
        + ["--rxd=1024", "--txd=1024"] + peers,
      standardInput: name + ".in", standardOutput: output)
  }

  deinit { close(input) }

  /// The address of port `number`.
  static func mac(_ number: Int) -> String { "02:00:00:00:01:0" + String(number, radix: 16) }

  var isRunning: Bool { program.isRunning }
  /// All it has printed.
  var log: String { readFile(output) }

  /// kill -9.
  func kill() { program.kill() }

  // MARK: the prompt

  /// Waits for the first prompt: all ports are set up.
  func waitUntilReady() throws { _ = try answer("start up", within: 30) }

  /// Types a line, and returns what is printed up to the next prompt.
  @discardableResult
  func ask(_ line: String, within seconds: Double = 20) throws -> String {
    let bytes = Array("\(line)\n".utf8)
    guard write(input, bytes, bytes.count) == bytes.count else {
      throw HarnessError("testpmd does not take '\(line)'")
    }
    let text = try answer(line, within: seconds)
    for complaint in ["Bad arguments", "Command not found", "Please stop"] where text.contains(complaint) {
      throw HarnessError("testpmd refused '\(line)': \(text)")
    }
    return text
  }

  private func answer(_ line: String, within seconds: Double) throws -> String {
    var text = ""
    try eventually("testpmd answered '\(line)'", within: seconds, pause: 5000) {
      guard program.isRunning else { throw HarnessError("testpmd ended at '\(line)': \(log)") }
      text = String(decoding: Array(log.utf8).dropFirst(mark), as: UTF8.self)
      return text.hasSuffix("testpmd> ")
    }
    mark += text.utf8.count
    return text
  }

  // MARK: traffic

  /// Lets `ports` forward in `mode`; where frames circulate, `bursts` times 32 of each queue begin.
  func start(_ mode: Mode, ports: [Int], bursts: Int = 1) throws {
    try ask("set portlist \(ports.map(String.init).joined(separator: ","))")
    try ask("set fwd \(mode.rawValue)")
    try ask(mode.circulates ? "start tx_first \(bursts)" : "start")
  }

  func stop() throws { try ask("stop") }

  /// Ends it in order; returns its exit status.
  @discardableResult
  func quit() throws -> Int32 {
    let line = Array("quit\n".utf8)
    _ = write(input, line, line.count)
    return try program.wait(within: 20)
  }

  /// What each port has counted, by its number.
  func statistics() throws -> [Int: Statistics] {
    var result: [Int: Statistics] = [:]
    var port = 0
    for line in try ask("show port stats all").split(separator: "\n") {
      let words = line.split { $0 == " " || $0 == "#" }
      if line.contains("NIC statistics for port"), let number = words.last.flatMap({ Int($0) }) {
        port = number
      }
      for (name, value) in zip(words, words.dropFirst()) {
        guard let value = Int(value) else { continue }
        switch name {
        case "RX-packets:": result[port, default: .init()].received = value
        case "RX-missed:", "RX-errors:", "RX-nombuf:": result[port, default: .init()].receiveErrors += value
        case "TX-packets:": result[port, default: .init()].sent = value
        case "TX-errors:": result[port, default: .init()].sendErrors = value
        default: break
        }
      }
    }
    return result
  }
}
