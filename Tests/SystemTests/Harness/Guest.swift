import Glibc
import Linux

/// A QEMU guest with one vhost-user card, controlled through a virtio-serial port (see tools/guest/init).
///
/// QEMU runs with software emulation: that works on every machine, also one whose /dev/kvm is for show.
final class Guest: Station {
  /// Which side of the vhost-user socket QEMU is. `connects` matches a port of type `vhost-user`,
  /// `listens` one of type `vhost-user-client`.
  enum Role { case connects, listens }

  let address: String
  let mac: String
  let options: GuestOptions
  private let command: [String]
  private let name: String
  private var program: Program?
  private var channel: FileDescriptor?
  private var received = ""
  private var lastCommand = ""
  private var openMonitor: Monitor?

  /// - Parameters:
  ///   - socket: the vhost-user socket, to whose other end QEMU waits to be connected before the guest starts;
  ///     nil gives the card QEMU's own network instead.
  ///   - address: IPv4 address of the card; on the VLAN, if one is given.
  init(
    socket: String?, mac: String, address: String, prefix: Int = 24, vlan: Int? = nil, mtu: Int? = nil,
    options: GuestOptions = GuestOptions()
  ) throws {
    self.address = address
    self.mac = mac
    self.options = options
    name = Scratch.shared.path("guest-\(Scratch.shared.number())")
    let image = try Self.image(options.programs)
    var settings = ["guest.ip0=\(address)/\(prefix)"]
    if let vlan { settings.append("guest.vlan0=\(vlan)") }
    if let mtu { settings.append("guest.mtu0=\(mtu)") }
    if options.iommu { settings.append("intel_iommu=on") }
    command = options.command(
      name: name, socket: socket, mac: mac, kernel: image.kernel, initramfs: image.initramfs,
      settings: settings)
  }

  /// Starts QEMU and waits until the guest takes commands.
  func start() throws {
    try launch()
    try waitUntilReady()
  }

  /// Starts QEMU; several guests can boot at the same time.
  func launch() throws {
    let program = try Program(command, standardOutput: name + ".log")
    self.program = program
    received = ""
    try eventually("QEMU opens the command channel") {
      guard program.isRunning else { throw HarnessError("QEMU ended: \(readFile(name + ".log"))") }
      guard let descriptor = try? UnixSocket.connect(name + ".commands") else { return false }
      channel = consume descriptor
      return true
    }
  }

  /// A guest boots in seconds, but on a busy machine in a minute and more.
  func waitUntilReady() throws { _ = try receive(until: "guest ready\n", within: 180) }

  /// Runs a shell command in the guest.
  func run(_ command: String, within seconds: Double = 30) throws -> Output {
    let token = "end\(Scratch.shared.number())"
    lastCommand = command
    try send("\(token) \(command)\n")
    let output = try receive(until: "\n\(token) ", within: seconds)
    let status = try receive(until: "\n", within: seconds)
    return Output(status: Int32(status) ?? -1, standardOutput: output, standardError: "")
  }

  /// Runs a shell command in the guest that has to succeed; returns its output.
  @discardableResult
  func must(_ command: String, within seconds: Double = 30) throws -> String {
    let output = try run(command, within: seconds)
    guard output.succeeded else { throw HarnessError("in the guest: \(command): \(output)") }
    return output.text
  }

  func ping(_ address: String, count: Int, size: Int) throws -> Output {
    // busybox knows no fraction of a second between pings, so each is a run of its own.
    try run(
      "i=0; while [ $i -lt \(count) ]; do ping -W 1 -c 1 -s \(size) \(address) || exit 1; i=$((i+1)); done",
      within: Double(count) * 3 + 10)
  }

  /// Restarts the guest's kernel, with QEMU and its connection staying.
  func reboot() throws {
    try send("end0 reboot -f\n")
    try waitUntilReady()
  }

  /// The same, without the guest's doing.
  func reset() throws {
    try monitor().run("system_reset")
    try waitUntilReady()
  }

  /// Makes the guest's kernel end where it is: nothing runs any more, and its card stays as it was. It has to have been
  /// booted with "panic=0".
  func crash() throws {
    try send("end0 echo c >/proc/sysrq-trigger\n")
    try eventually("the guest's kernel panics") { console.contains("Kernel panic") }
  }

  /// Takes the card from its driver, and gives it back, with its address.
  func rebind(meanwhile body: () throws -> Void = {}) throws {
    let device = try must("basename $(readlink -f /sys/class/net/eth0/device)")
    let driver = "/sys/bus/virtio/drivers/virtio_net"
    try must("echo \(device) >\(driver)/unbind")
    try body()
    try must(
      "echo \(device) >\(driver)/bind && ip address add \(address)/24 dev eth0 && ip link set eth0 up")
  }

  /// kill -9.
  func kill() {
    program?.kill()
    channel = nil
    openMonitor = nil
    unlink(name + ".commands")
    unlink(name + ".monitor")
  }

  /// QEMU's control socket.
  func monitor() throws -> Monitor {
    if let openMonitor { return openMonitor }
    let monitor = try Monitor(name + ".monitor")
    openMonitor = monitor
    return monitor
  }

  /// Sends QEMU a signal.
  func signal(_ number: Int32) { program?.signal(number) }

  var isRunning: Bool { program?.isRunning ?? false }
  /// What QEMU said.
  var log: String { readFile(name + ".log") }
  /// The kernel's log.
  var console: String { readFile(name + ".console") }

  private func send(_ text: String) throws {
    guard let raw = channel?.raw else { throw HarnessError("the guest does not run") }
    var bytes = Array(text.utf8)
    while !bytes.isEmpty {
      let count = write(raw, bytes, bytes.count)
      if count > 0 {
        bytes.removeFirst(count)
      } else {
        guard errno == EAGAIN else { throw HarnessError("the guest's command channel is gone") }
        usleep(1000)
      }
    }
  }

  /// What came before `end`, which is taken too.
  private func receive(until end: String, within seconds: Double) throws -> String {
    let deadline = now() + seconds
    while true {
      if let text = takeReceived(before: end) { return text }
      let left = deadline - now()
      guard left > 0 else {
        throw HarnessError(
          "the guest did not answer '\(lastCommand)' within \(seconds) s; it said: \(received) \(console)")
      }
      try receiveSome(within: left)
    }
  }

  private func takeReceived(before end: String) -> String? {
    let bytes = Array(received.utf8)
    let wanted = Array(end.utf8)
    guard bytes.count >= wanted.count else { return nil }
    let last = bytes.count - wanted.count
    guard let start = (0...last).first(where: { Array(bytes[$0..<$0 + wanted.count]) == wanted }) else {
      return nil
    }
    received = String(decoding: bytes[(start + wanted.count)...], as: UTF8.self)
    return String(decoding: bytes[..<start], as: UTF8.self)
  }

  private func receiveSome(within seconds: Double) throws {
    guard let raw = channel?.raw else { throw HarnessError("the guest does not run") }
    var wait = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
    guard poll(&wait, 1, Int32(seconds * 1000) + 1) > 0 else { return }
    var chunk = [UInt8](repeating: 0, count: 65536)
    let count = read(raw, &chunk, chunk.count)
    if count > 0 {
      received += String(decoding: chunk[..<count], as: UTF8.self)
    } else if count == 0 || errno != EAGAIN {
      throw HarnessError("the guest went away; QEMU said: \(readFile(name + ".log")) \(console)")
    }
  }

  /// What runs the guests, as the table of what works with which front-end calls it: "QEMU 7.2".
  static let frontEnd: String = {
    let version = (try? SystemTests.must(["qemu-system-x86_64", "--version"])) ?? ""
    let digits = version.drop { !$0.isNumber }.prefix { $0.isNumber || $0 == "." }
    return "QEMU " + digits.split(separator: ".").prefix(2).joined(separator: ".")
  }()

  private static func image(_ programs: [String]) throws -> (kernel: String, initramfs: String) {
    let command = ["\(Location.package)/tools/guest-image"] + programs
    let paths = try SystemTests.must(command, within: 300).split(separator: " ")
    guard paths.count == 2 else { throw HarnessError("tools/guest-image did not print two paths") }
    return (String(paths[0]), String(paths[1]))
  }
}
