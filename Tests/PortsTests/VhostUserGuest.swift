import CLinux
import Glibc
import Linux
import Packet
import Ports
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// A directory of its own for each test, removed afterwards.
final class ScratchDirectory {
  let path: String

  init() {
    var template = Array("/tmp/vhost-test-XXXXXX\0".utf8CString)
    path = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
  }

  deinit {
    if let names = try? files() { for name in names { unlink("\(path)/\(name)") } }
    rmdir(path)
  }

  func files() throws -> [String] {
    guard let directory = opendir(path) else { throw SystemError.last("open \(path)") }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) { names.append(Self.name(entry)) }
    return names.filter { $0 != "." && $0 != ".." }
  }
}

/// A vhost-user port with a guest on it: driver, front-end and port in one loop.
final class VhostUserGuest {
  let directory: ScratchDirectory
  let loop: EventLoop
  let harness: PortHarness
  let port: VhostUserPort
  /// Before the device, if there is one.
  let iommu: GuestIOMMU?
  var driver: GuestDriver
  var frontEnd: ScriptedFrontEnd

  static let modern: VirtioFeatures = [
    .version1, .mergeableReceiveBuffers, .indirectDescriptors, .checksum, .guestChecksum, .hostTSO4,
    .guestTSO4,
  ]

  /// - Parameters:
  ///   - started: whether the front-end has negotiated and started its rings.
  ///   - iommu: makes the device one behind an IOMMU.
  init(
    _ features: VirtioFeatures = VhostUserGuest.modern, ram: GuestRAM? = nil, loop: EventLoop? = nil,
    ringSize: Int = 256, started: Bool = true, protocolFeatures: ProtocolFeatures = [.replyAcknowledgement],
    pairs: Int = 1, options: [String: String] = [:], iommu: GuestIOMMU.Mode? = nil
  ) throws {
    directory = ScratchDirectory()
    let loop = try loop ?? EventLoop()
    self.loop = loop
    port = try VhostUserPort(
      PortConfiguration(
        name: "guest", kind: .vhostUser, options: options, runDirectory: directory.path), loop: loop)
    harness = try PortHarness(port, loop)
    let ram = try ram ?? GuestRAM()
    self.iommu = iommu.map { GuestIOMMU(ram, $0) }
    driver = try GuestDriver(
      ram: ram, features: features, ringSize: ringSize, pairs: pairs, iommu: self.iommu)
    frontEnd = try ScriptedFrontEnd(connecting: "\(directory.path)/guest") {
      loop.turn(atMostMilliseconds: 1)
    }
    guard started else { return }
    try frontEnd.negotiate(features, protocolFeatures)
    if let iommu = self.iommu { try frontEnd.attach(iommu) }
    try frontEnd.start(driver)
    try #require(harness.wait { port.status.linkUp })
    if iommu != nil { try settle() }
  }

  /// Another front-end on the same socket.
  func connect() throws -> ScriptedFrontEnd {
    try ScriptedFrontEnd(connecting: "\(directory.path)/guest") { [loop] in
      loop.turn(atMostMilliseconds: 1)
    }
  }

  /// A device behind an IOMMU, with everything its rings need translated.
  static func translated(
    _ mode: GuestIOMMU.Mode, _ features: VirtioFeatures, ram: GuestRAM? = nil, loop: EventLoop? = nil,
    ringSize: Int = 256, pairs: Int = 1, protocolFeatures: ProtocolFeatures = []
  ) throws -> VhostUserGuest {
    try VhostUserGuest(
      features.union(.accessPlatform), ram: ram, loop: loop, ringSize: ringSize,
      protocolFeatures: protocolFeatures.union([.replyAcknowledgement, .backendRequests]), pairs: pairs,
      iommu: mode)
  }

  /// Lets port and front-end talk until neither has anything to say, which concerns translations mostly. Both are on
  /// this thread: what one has said is there for the other at once.
  func settle() throws {
    var quiet = 0
    while quiet < 2 {
      loop.turn(atMostMilliseconds: 0)
      quiet = try frontEnd.serveBackEnd() > 0 ? 0 : quiet + 1
    }
  }

  /// Sends a frame and returns what the switch made of it, or nil if it was dropped.
  func through(
    _ frame: [UInt8], offload: Offload = .none, cuts: [Int] = [], indirect: Bool = false,
    at: UInt64? = nil
  ) -> (bytes: [UInt8], offload: Offload)? {
    guard driver.send(frame, offload: offload, cuts: cuts, indirect: indirect, at: at) else { return nil }
    var result: (bytes: [UInt8], offload: Offload)?
    harness.receive { result = ($0, $1) }
    return result
  }
}
