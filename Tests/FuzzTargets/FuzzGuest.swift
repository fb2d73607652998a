import Glibc
import Linux
import Ports
import VhostUser
import Virtio
import VirtioTesting

/// A vhost-user port with a guest on it, whose rings can be set up anew for each input.
final class FuzzGuest {
  let loop: EventLoop
  let port: VhostUserPort
  let driver: GuestDriver
  let counters = PortCounters()
  private var frontEnd: ScriptedFrontEnd
  private let path: String

  private static let directory = "/tmp/switchd-fuzz-\(getpid())"

  /// - Parameter name: the port's, and its socket's in a directory that goes with the process.
  init(_ name: String, features: VirtioFeatures, ringSize: Int, memory: Int = 1 << 20) throws {
    let directory = Self.directory
    if mkdir(directory, 0o700) == 0 { atexit { FuzzGuest.removeDirectory() } }
    path = "\(directory)/\(name)"
    Log.setLevel(.off)
    let loop = try EventLoop()
    self.loop = loop
    port = try VhostUserPort(
      PortConfiguration(name: name, kind: .vhostUser, runDirectory: directory), loop: loop)
    try port.start(
      PortEnvironment(synchronize: {}, setWaitDescriptor: { _, _, _ in }, wake: {}, statusChanged: {}))
    driver = try GuestDriver(
      ram: try GuestRAM(size: memory, shape: .swappedHalves), features: features, ringSize: ringSize)
    frontEnd = try ScriptedFrontEnd(connecting: path) { loop.turn(atMostMilliseconds: 1) }
    try frontEnd.negotiate(features)
    try startRings()
  }

  private static func removeDirectory() {
    guard let listing = opendir(directory) else { return }
    var names: [String] = []
    while let entry = readdir(listing) {
      // SAFETY: the record ends with the name, and is good until the next is read.
      let name = UnsafeRawPointer(entry) + MemoryLayout<dirent>.offset(of: \.d_name)!
      names.append(String(cString: name.assumingMemoryBound(to: CChar.self)))
    }
    closedir(listing)
    for name in names { unlink("\(directory)/\(name)") }
    rmdir(directory)
  }

  private func startRings() throws {
    try frontEnd.start(driver)
    // A machine with much else to do may take its time.
    require(loop.run(atMost: 30_000) { port.status.linkUp }, "the port starts")
  }

  /// Rings as a driver leaves them after a reset; a new front-end if the last input cost the old one its connection.
  func reset() throws {
    if port.status.linkUp {
      _ = try frontEnd.stop()
    } else {
      frontEnd = try ScriptedFrontEnd(connecting: path) { [loop] in loop.turn(atMostMilliseconds: 1) }
      try frontEnd.negotiate(driver.features)
    }
    for queue in driver.queues { queue.reset() }
    try startRings()
  }

  /// Buffers taken from the ring the guest sends by.
  var taken: UInt64 {
    var statistics = PortStatistics()
    statistics.add(counters)
    return statistics[.receivedFrames] + statistics.receiveDrops
  }
}
