import Glibc
import Linux
import Packet
import Ports
import Testing
import Virtio
import VirtioTesting

@testable import Datapath

/// A switch with guests on vhost-user ports of one bridge: real rings, real poll threads.
final class GuestLab {
  let loop: EventLoop
  let datapath: Datapath
  let bridge: BridgeID
  private let directory: String
  private(set) var guests: [Guest] = []

  /// A guest, its front-end and its port.
  final class Guest {
    let name: String
    let port: VhostUserPort
    let id: PortID
    let driver: GuestDriver
    let address: UInt64
    fileprivate var frontEnd: ScriptedFrontEnd?

    fileprivate init(name: String, port: VhostUserPort, id: PortID, driver: GuestDriver, address: UInt64) {
      self.name = name
      self.port = port
      self.id = id
      self.driver = driver
      self.address = address
    }
  }

  static let features: VirtioFeatures = [
    .version1, .mergeableReceiveBuffers, .indirectDescriptors, .checksum, .guestChecksum, .hostTSO4,
    .guestTSO4,
    .hostTSO6, .guestTSO6,
  ]

  init(threads: Int = 1, settings: BridgeSettings = BridgeSettings()) throws {
    loop = try EventLoop()
    var poll = PollSettings()
    if threads > 1 { poll.cpus = [Int](repeating: 0, count: threads) }
    datapath = try Datapath(loop: loop, settings: poll)
    bridge = datapath.addBridge("br0", settings)
    var template = Array("/tmp/guest-lab-XXXXXX\0".utf8CString)
    directory = try #require(mkdtemp(&template).map { String(cString: $0) })
  }

  deinit {
    datapath.stop()
    for guest in guests { unlink("\(directory)/\(guest.name)") }
    rmdir(directory)
  }

  @discardableResult
  func addGuest(
    tag: Int? = nil, features: VirtioFeatures = GuestLab.features, ringSize: Int = 256, ram: GuestRAM? = nil
  ) throws -> Guest {
    let name = "g\(guests.count)"
    let configuration = PortConfiguration(name: name, kind: .vhostUser, runDirectory: directory)
    let port = try VhostUserPort(configuration, loop: loop)
    let id = try datapath.addPort(port, to: bridge, vlan: VLANConfiguration(tag: tag))
    let driver = try GuestDriver(ram: ram, features: features, ringSize: ringSize)
    let guest = Guest(
      name: name, port: port, id: id, driver: driver, address: 0x0200_0000_0100 + UInt64(guests.count))
    guests.append(guest)
    let frontEnd = try ScriptedFrontEnd(connecting: "\(directory)/\(name)") { [loop] in
      loop.turn(atMostMilliseconds: 1)
    }
    try frontEnd.negotiate(features)
    try frontEnd.start(driver)
    guest.frontEnd = frontEnd
    try #require(loop.run(atMost: 10_000) { port.status.linkUp })
    return guest
  }

  func statistics(_ guest: Guest) -> PortStatistics { datapath.statistics(of: guest.id) }

  /// Turns the control thread until `condition` holds; false when it does not within 20 s.
  ///
  /// What poll threads do wakes nobody here, so this looks again and again.
  func wait(_ condition: () -> Bool) -> Bool {
    let end = monotonicNanoseconds() + 20_000_000_000
    while !condition() {
      guard monotonicNanoseconds() < end else { return false }
      loop.turn(atMostMilliseconds: 0)
      usleep(20)
    }
    return true
  }

  /// Returns once every poll thread has finished the burst it was in.
  func settle() { datapath.configureBridge(bridge, nextSettings()) }

  /// Settings that differ from the last: publishing them passes a quiescent point.
  private func nextSettings() -> BridgeSettings {
    var settings = BridgeSettings()
    flip.toggle()
    settings.macAgingTime = flip ? 301 : 300
    return settings
  }
  private var flip = false

  /// Has the switch learn `guest`: it sends a frame to an address nobody has.
  func introduce(_ guest: Guest) throws {
    let before = statistics(guest)[.receivedFrames]
    #expect(guest.driver.send(frame(to: 0x0200_0000_FFFF, from: guest.address)))
    try #require(wait { self.statistics(guest)[.receivedFrames] > before })
    settle()
  }
}

/// Frames from one guest to another, numbered, so that each can be told from every other and from anything else.
struct NumberedFrames {
  let sender: GuestLab.Guest
  let receiver: GuestLab.Guest
  /// In every frame, and nowhere else.
  static let mark: [UInt8] = Array("numbered".utf8)
  private(set) var sent = 0
  private(set) var received = 0
  /// What arrived that should not have, or not then.
  private(set) var faults: [String] = []

  init(_ sender: GuestLab.Guest, _ receiver: GuestLab.Guest) {
    self.sender = sender
    self.receiver = receiver
  }

  private func bytes(_ number: Int) -> [UInt8] {
    let length = 20 + number * 37 % 1400
    var payload = Self.mark + (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    payload += (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) }
    return frame(to: receiver.address, from: sender.address, payload: payload)
  }

  /// Sends the next frame unless `window` frames are under way or the ring is full.
  mutating func send(window: Int = 100) {
    guard sent - received < window, sender.driver.send(bytes(sent)) else { return }
    sent += 1
  }

  /// Takes what has arrived, which must be the next frames in order.
  mutating func receive() {
    while let next = receiver.driver.receive() {
      guard next.bytes == bytes(received) else {
        faults.append("frame \(received) came as \(next.bytes.count) bytes: \(next.bytes.prefix(40))")
        continue
      }
      received += 1
    }
  }

  /// Sends and receives until `count` frames have arrived, or 90 seconds have passed.
  mutating func run(_ count: Int, during: () -> Void = {}) {
    let end = monotonicNanoseconds() + 90_000_000_000
    while received < count && monotonicNanoseconds() < end {
      for _ in 0..<32 where sent < count { send() }
      receive()
      during()
      sched_yield()
    }
  }
}
