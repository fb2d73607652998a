import CLinux
import Glibc
import Linux
import Packet

// An interface's comings and goings
// =================================
//
// The port is configured by name; the socket is bound to an index. Whenever a link changed, the two are compared:
//
//     an interface of that name, no socket            → open
//     the socket's interface still has that name      → take its state
//     it was renamed, deleted or moved away           → close, say so, wait for one of that name
//
// An interface that is down keeps its sockets: the kernel resumes by itself when it comes up. "The socket" is as many
// sockets as there are receive queues, opened and closed together.

/// A port that is an existing interface, through a packet socket: kind `system`.
public final class PacketSocketPort: Port {
  /// Both directions of a socket; memory is only used while frames wait.
  private static let socketBufferBytes: Int32 = 4 << 20

  public let name: String
  private var configuration: PortConfiguration
  private let links: any LinkSource
  private let face: PacketSocketFace
  private var sockets: QueueDescriptors?
  /// The interface the socket is bound to, or the last one of our name.
  private var link: LinkState?
  private var environment: PortEnvironment?
  private var stopObserving: (() -> Void)?
  private var error: String?
  private var mtuError: String?
  private var linkResets: Int64 = 0
  /// By sockets as far as they have been asked.
  private var missed: UInt64 = 0

  public init(_ configuration: PortConfiguration, links: any LinkSource) throws(PortError) {
    name = configuration.name
    self.configuration = configuration
    self.links = links
    // UDP segmentation through virtio-net headers came with Linux 6.2.
    var accepts: OffloadCapabilities = [.checksum, .tcp4, .tcp6, .ecn]
    if cl_kernel_is_at_least(6, 2) == 1 { accepts.insert(.udp) }
    face = PacketSocketFace(queueCount: try QueueDescriptors.count(configuration), accepts: accepts)
  }

  public var io: PortIO { face.io }
  public var receiveQueueCount: Int { face.queueCount }
  /// Sockets take messages from any number of threads at once.
  public var transmitQueueCount: Int { .max }

  public func start(_ environment: PortEnvironment) throws(PortError) {
    try InterfaceName.check(name)
    self.environment = environment
    stopObserving = links.observe { [unowned self] in follow() }
    follow()
  }

  public func reconfigure(_ configuration: PortConfiguration) throws(PortError) -> Bool {
    guard configuration.name == name, configuration.kind == self.configuration.kind,
      try QueueDescriptors.count(configuration) == face.queueCount
    else { return false }
    let isNewMTU = configuration.requestedMTU != self.configuration.requestedMTU
    self.configuration = configuration
    if isNewMTU { applyMTU() }
    return true
  }

  public func close() {
    stopObserving?()
    detach()
  }

  // MARK: Following the interface

  private func follow() {
    let before = (error, link, isAttached)
    let present = links.link(named: name)
    if let bound = link, isAttached, present?.index != bound.index {
      detach()
      error = departure(of: bound)
      Log.info("system", error ?? "")
      link = nil
    }
    if let present {
      if !isAttached { attach(to: present) }
      if present.isRunning != link?.isRunning, link != nil { linkResets += 1 }
      link = present
    } else if !isAttached, error == nil || link != nil {
      error = missing
      link = nil
    }
    if before != (error, link, isAttached) { environment?.statusChanged() }
  }

  private var missing: String {
    "no interface named \(name) exists; create it or correct the name: it is picked up when it appears"
  }

  private func departure(of bound: LinkState) -> String {
    if let now = links.link(index: bound.index), now.name != name {
      return "interface \(name) was renamed to \(now.name); name it back, or change this port's name"
    }
    return missing
  }

  private func attach(to present: LinkState) {
    guard present.macAddress != nil else {
      error = "\(name) is not an Ethernet interface; only those can be ports of a bridge"
      return
    }
    var opened = [Int32](repeating: -1, count: face.queueCount)
    let result = cl_packet_sockets(
      Int32(clamping: present.index), Self.socketBufferBytes, Int32(opened.count), &opened)
    guard result == 0 else {
      error = openError(errno)
      return
    }
    var queues = QueueDescriptors()
    for raw in opened { queues.append(FileDescriptor(owning: raw)) }
    sockets = consume queues
    error = nil
    face.activate(opened)
    for (queue, raw) in opened.enumerated() { environment?.setWaitDescriptor(queue, raw, false) }
    environment?.wake()
    applyMTU()
  }

  private func openError(_ code: Int32) -> String {
    switch code {
    case EPERM, EACCES:
      return "open a packet socket on \(name): permission denied; run as root, or grant CAP_NET_RAW"
    case ENODEV, ENXIO: return missing
    case EINVAL where face.queueCount > 1 && cl_kernel_is_at_least(5, 16) == 0:
      return "\(name): several receive queues on an interface need Linux 5.16; remove options:n_rxq"
    default: return SystemError("open a packet socket on \(name)", code: code).description
    }
  }

  private func detach() {
    guard isAttached else { return }
    for queue in 0..<face.queueCount { environment?.setWaitDescriptor(queue, nil, false) }
    if face.deactivate() { environment?.synchronize() }
    countMissed()
    sockets = nil
  }

  private func applyMTU() {
    mtuError = nil
    guard let mtu = configuration.requestedMTU, let raw = socketNumber else { return }
    if cl_interface_set_mtu(raw, name, Int32(clamping: mtu)) != 0 {
      mtuError = "set the MTU of \(name) to \(mtu): \(SystemError.last("MTU").reason)"
    }
  }

  private var isAttached: Bool {
    switch sockets {
    case .some: true
    case .none: false
    }
  }

  private var socketNumber: Int32? {
    switch sockets {
    case .some(let sockets): sockets.raw.first
    case .none: nil
    }
  }

  // MARK: Status

  public var missedFrames: UInt64 {
    countMissed()
    return missed
  }

  /// The kernel tells each drop once.
  private func countMissed() {
    switch sockets {
    case .some(let sockets): for raw in sockets.raw { missed &+= UInt64(cl_packet_socket_drops(raw)) }
    case .none: break
    }
  }

  public var status: PortStatus {
    var status = PortStatus()
    status.error = error ?? mtuError ?? masterError
    status.linkResets = linkResets
    guard isAttached, let link else { return status }
    status.adminUp = link.isUp
    status.linkUp = link.isUp && link.isRunning
    status.linkSpeed = link.speed
    status.fullDuplex = link.fullDuplex
    status.mtu = link.mtu
    status.macAddress = link.macAddress
    status.interfaceIndex = link.index
    if let kind = link.kind { status.details["driver_name"] = kind }
    if face.queueCount > 1 { status.details["n_rxq"] = String(face.queueCount) }
    return status
  }

  /// A master takes received frames before or after the socket sees them: both switches forward.
  private var masterError: String? {
    guard let master = link?.master else { return nil }
    return "interface \(name) belongs to \(master), which forwards its frames too; "
      + "release it with: ip link set \(name) nomaster"
  }
}
