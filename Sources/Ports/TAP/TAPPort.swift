import CLinux
import Glibc
import Linux
import Packet

// A TAP's life
// ============
//
// The descriptor is the device: it keeps working when the device is renamed or moved into another network namespace,
// where no link event of ours tells about it. So nothing is concluded from links that appear or go; they only make
// us look at the device again, through the descriptor; at a device elsewhere we look once a second. The device is gone
// when the descriptor says so (EBADFD), which poll threads notice when they use it, and report by an eventfd. It is
// then made anew. "The descriptor" is as many as there are queues, opened and closed together.
//
// A `tap` belongs to its user, who sets it up. An `internal` port is the host's own place on the bridge, with an
// address that is the same each time. Neither is brought up here: that too is the user's decision.

/// A port that is a TAP device: kinds `tap` and `internal`.
public final class TAPPort: Port {
  public let name: String
  private var configuration: PortConfiguration
  private let loop: EventLoop
  private let links: any LinkSource
  private let failure: EventFD
  private let face: TAPFace
  private var device: TAPDevice?
  private var environment: PortEnvironment?
  private var failureWatch: EventLoop.Watch?
  private var stopObserving: (() -> Void)?
  /// To look again at a device that sends no link events, or to try again to make it.
  private var nextLook: EventLoop.Timer?
  /// Why the device is not there, or not as configured.
  private var error: String?
  private var last: TAPDevice.State?
  /// The state of which the datapath was told.
  private var announced: TAPDevice.State?
  private var linkResets: Int64 = 0

  /// - Parameter links: consulted for errors, and followed as a hint that the device may have changed.
  public init(_ configuration: PortConfiguration, loop: EventLoop, links: any LinkSource) throws(PortError) {
    name = configuration.name
    self.configuration = configuration
    self.loop = loop
    self.links = links
    do {
      failure = try EventFD()
    } catch {
      throw PortError(error.description)
    }
    face = TAPFace(queueCount: try QueueDescriptors.count(configuration), failure: failure.raw)
  }

  public var io: PortIO { face.io }
  public var receiveQueueCount: Int { face.queueCount }
  /// The device takes frames from any number of threads at once.
  public var transmitQueueCount: Int { .max }

  public func start(_ environment: PortEnvironment) throws(PortError) {
    self.environment = environment
    try open()
    failureWatch = loop.watch(failure.raw, .read) { [unowned self] _ in
      failure.drain()
      look()
    }
    stopObserving = links.observe { [unowned self] in look() }
  }

  public func reconfigure(_ configuration: PortConfiguration) throws(PortError) -> Bool {
    guard configuration.name == name, configuration.kind == self.configuration.kind,
      try QueueDescriptors.count(configuration) == face.queueCount
    else { return false }
    self.configuration = configuration
    error = nil
    apply()
    look()
    return true
  }

  public func close() {
    stopObserving?()
    failureWatch?.cancel()
    nextLook?.cancel()
    detach()
  }

  // MARK: The device

  private func open() throws(PortError) {
    let existing = links.link(named: name)
    let opened = try TAPDevice(
      name: name, queueCount: face.queueCount, kindOfExisting: existing.map { $0.kind ?? "a network card" })
    let descriptors = opened.descriptors
    let accepts = opened.accepts
    device = consume opened
    error = nil
    apply()
    note(device?.state())
    face.activate(descriptors, accepts: accepts)
    for (queue, raw) in descriptors.enumerated() { environment?.setWaitDescriptor(queue, raw, false) }
    environment?.wake()
  }

  /// Sets what the configuration asks for; a refusal is shown, and the device is used as it is.
  private func apply() {
    do {
      if configuration.kind == .internal { try device?.setMAC(try wantedMAC()) }
      if let mtu = configuration.requestedMTU { try device?.setMTU(mtu) }
    } catch {
      self.error = error.description
    }
  }

  private func wantedMAC() throws(PortError) -> MACAddress {
    guard let text = configuration.requestedMAC else { return .stable(for: name) }
    guard let address = MACAddress(text), !address.isGroup, address.bits != 0 else {
      throw PortError(
        "\"\(text)\" cannot be the MAC address of \(name): give six hexadecimal pairs of a single host")
    }
    return address
  }

  private func detach() {
    guard device != nil else { return }
    for queue in 0..<face.queueCount { environment?.setWaitDescriptor(queue, nil, false) }
    if face.deactivate() { environment?.synchronize() }
    device = nil
  }

  /// Takes the device's state again; makes it anew when it is gone.
  private func look() {
    if device?.exists != true {
      detach()
      do {
        try open()
        Log.warning("tap", "\(name): the device was deleted and has been made anew")
      } catch {
        if self.error != error.description { Log.warning("tap", "\(name): \(error)") }
        self.error = error.description
        last = nil
        lookAgain()
      }
      environment?.statusChanged()
      return
    }
    let state = device?.state()
    note(state)
    if state?.index.flatMap(links.link(index:))?.name != state?.name { lookAgain() }
    guard state != announced else { return }
    announced = state
    environment?.statusChanged()
  }

  private func lookAgain() {
    nextLook?.cancel()
    nextLook = loop.after(milliseconds: 1000) { [unowned self] in look() }
  }

  private func note(_ state: TAPDevice.State?) {
    guard state != last else { return }
    if last != nil && state?.isRunning != last?.isRunning { linkResets += 1 }
    last = state
  }

  // MARK: Status

  /// Asks the device, because one in another namespace does not tell.
  public var status: PortStatus {
    var status = PortStatus()
    let state = device?.state()
    note(state)
    status.error = error
    status.linkResets = linkResets
    guard let state else { return status }
    status.adminUp = state.isUp
    status.linkUp = state.isRunning
    status.mtu = state.mtu
    status.macAddress = state.macAddress
    status.interfaceIndex = state.index
    status.details["driver_name"] = "tun"
    if face.queueCount > 1 { status.details["n_rxq"] = String(face.queueCount) }
    if state.name != name { status.details["name"] = state.name }
    return status
  }
}

extension MACAddress {
  /// A locally administered address for interface `name`: the same on this machine each time, different on another.
  static func stable(for name: String) -> MACAddress {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in machineIdentifier() + Array(name.utf8) {
      hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
    }
    hash ^= hash >> 32
    return MACAddress(bits: hash & 0xFCFF_FFFF_FFFF | 0x0200_0000_0000)
  }

  private static func machineIdentifier() -> [UInt8] {
    guard let file = try? FileDescriptor.open("/etc/machine-id", O_RDONLY) else { return [] }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = read(file.raw, &bytes, bytes.count)
    return Array(bytes.prefix(max(0, count)))
  }
}
