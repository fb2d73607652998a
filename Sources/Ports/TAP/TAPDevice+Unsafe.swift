import CLinux
import Glibc
import Linux
import Packet

/// The open queues of a TAP device. The device is found through their descriptors, so it may be renamed or moved into
/// another network namespace.
struct TAPDevice: ~Copyable {
  private let queues: QueueDescriptors
  /// What the device can be given, and hands over, unfinished.
  let accepts: OffloadCapabilities
  /// A socket in the device's namespace, for ioctls by name.
  private var namespaceSocket: FileDescriptor?

  /// What the kernel tells about the device now.
  struct State: Equatable {
    var name: String
    var isUp: Bool
    var isRunning: Bool
    var mtu: Int?
    var macAddress: String?
    var index: Int?
  }

  /// Creates the TAP device `name`, or attaches to the one that exists. The kernel removes what was created here when
  /// the descriptor closes; a persistent device stays.
  ///
  /// - Parameter queueCount: how many queues to open; the kernel keeps each flow to one of them.
  /// - Parameter kindOfExisting: what an interface of that name is now, for the error; nil if there is none.
  init(name: String, queueCount: Int, kindOfExisting: String?) throws(PortError) {
    try InterfaceName.check(name)
    var flags = queueCount > 1 ? Int16(IFF_VNET_HDR | IFF_MULTI_QUEUE) : Int16(IFF_VNET_HDR)
    var queues = QueueDescriptors()
    for _ in 0..<queueCount {
      let raw = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)
      guard raw >= 0 else { throw Self.openError(errno) }
      queues.append(FileDescriptor(owning: raw))
      var result = Self.attach(raw, name, flags: flags)
      if result == EINVAL && queueCount == 1 {
        // A persistent device made for several queues has to be attached as such.
        flags = Int16(IFF_VNET_HDR | IFF_MULTI_QUEUE)
        result = Self.attach(raw, name, flags: flags)
      }
      guard result == 0 else { throw Self.attachError(result, name, kindOfExisting, queueCount) }
    }
    accepts = try Self.setUp(queues.raw[0], name)
    self.queues = queues
  }

  /// Header length, offloads and carrier, which are the device's and so the same for all queues. Returns what it
  /// takes unfinished.
  private static func setUp(_ raw: Int32, _ name: String) throws(PortError) -> OffloadCapabilities {
    guard cl_tap_set_header_size(raw, Int32(MessageScratch.networkHeaderLength)) == 0 else {
      throw PortError("set up TAP device \(name): \(SystemError.last("header size").reason)")
    }
    let offloads = UInt32(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
    let datagrams: UInt32 = 0x20 | 0x40  // TUN_F_USO4, TUN_F_USO6: Linux 6.2
    var accepts: OffloadCapabilities = [.checksum, .tcp4, .tcp6, .ecn]
    if cl_tap_set_offload(raw, offloads | datagrams) == 0 {
      accepts.insert(.udp)
    } else if cl_tap_set_offload(raw, offloads) != 0 {
      throw PortError("set up TAP device \(name): \(SystemError.last("offloads").reason)")
    }
    _ = cl_tap_set_carrier(raw, 1)  // Linux 5.0; older ones have the carrier on
    return accepts
  }

  /// One per queue, for system calls made while the device is open.
  var descriptors: [Int32] { queues.raw }

  /// Any of them stands for the device.
  private var descriptor: Int32 { queues.raw[0] }

  // SAFETY: the kernel reads and writes IFNAMSIZ bytes at most, which the buffer has.
  private static func attach(_ raw: Int32, _ name: String, flags: Int16) -> Int32 {
    var buffer = [CChar](repeating: 0, count: Int(IFNAMSIZ))
    for (index, byte) in name.utf8.enumerated() { buffer[index] = CChar(bitPattern: byte) }
    return cl_tap_attach(raw, &buffer, flags) == 0 ? 0 : errno
  }

  /// Whether the device still exists.
  var exists: Bool { currentName != nil }

  // SAFETY: the kernel writes a terminated name of at most IFNAMSIZ bytes.
  private var currentName: String? {
    var buffer = [CChar](repeating: 0, count: Int(IFNAMSIZ) + 1)
    guard cl_tap_name(descriptor, &buffer) == 0 else { return nil }
    return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  /// The device's state, wherever it is; nil when it is gone.
  mutating func state() -> State? {
    guard let name = currentName else { return nil }
    var state = State(name: name, isUp: false, isRunning: false)
    var six = [UInt8](repeating: 0, count: 6)
    if cl_tap_mac(descriptor, &six) == 0 {
      state.macAddress = MACAddress(bits: six.reduce(0) { $0 << 8 | UInt64($1) }).description
    }
    var flags: Int32 = 0
    guard let socket = locate(name, flags: &flags) else { return state }
    state.isUp = flags & Int32(IFF_UP) != 0
    state.isRunning = state.isUp && flags & Int32(IFF_RUNNING) != 0
    var mtu: Int32 = 0
    if cl_interface_mtu(socket, name, &mtu) == 0 { state.mtu = Int(mtu) }
    var index: Int32 = 0
    if cl_interface_index(socket, name, &index) == 0 { state.index = Int(index) }
    return state
  }

  /// A socket in the namespace where the device is; nil where the kernel does not say.
  private mutating func locate(_ name: String, flags: inout Int32) -> Int32? {
    if let raw = socketNumber, cl_interface_flags(raw, name, &flags) == 0 { return raw }
    let raw = cl_tap_namespace_socket(descriptor)
    guard raw >= 0 else { return nil }
    namespaceSocket = FileDescriptor(owning: raw)
    return cl_interface_flags(raw, name, &flags) == 0 ? raw : nil
  }

  private var socketNumber: Int32? {
    switch namespaceSocket {
    case .some(let socket): socket.raw
    case .none: nil
    }
  }

  mutating func setMTU(_ mtu: Int) throws(PortError) {
    var flags: Int32 = 0
    guard let name = currentName, let socket = locate(name, flags: &flags) else {
      throw PortError("set the MTU of a TAP device to \(mtu): the device is gone")
    }
    guard cl_interface_set_mtu(socket, name, Int32(clamping: mtu)) == 0 else {
      throw PortError("set the MTU of \(name) to \(mtu): \(SystemError.last("MTU").reason)")
    }
  }

  func setMAC(_ address: MACAddress) throws(PortError) {
    let six = (0..<6).map { UInt8(truncatingIfNeeded: address.bits >> UInt64(40 - 8 * $0)) }
    guard cl_tap_set_mac(descriptor, six) == 0 else {
      throw PortError(
        "set the MAC address of \(currentName ?? "a TAP device") to \(address): "
          + SystemError.last("MAC").reason)
    }
  }

  private static func openError(_ code: Int32) -> PortError {
    switch code {
    case ENOENT, ENODEV, ENXIO:
      PortError("/dev/net/tun is missing: load the kernel module tun (modprobe tun)")
    case EACCES, EPERM:
      PortError("open /dev/net/tun: permission denied; run as root, or grant CAP_NET_ADMIN and access to it")
    default: PortError(SystemError("open /dev/net/tun", code: code).description)
    }
  }

  private static func attachError(_ code: Int32, _ name: String, _ kind: String?, _ queueCount: Int)
    -> PortError
  {
    switch code {
    case EPERM, EACCES:
      PortError("create TAP device \(name): permission denied; run as root, or grant CAP_NET_ADMIN")
    case EBUSY where kind == nil || kind == "tun":
      PortError("TAP device \(name) is in use by another program; stop that, or choose another name")
    case EINVAL where kind == "tun" && queueCount > 1:
      PortError(
        "TAP device \(name) was made for one queue; remove options:n_rxq, "
          + "or make the device anew with: ip tuntap add dev \(name) mode tap multi_queue")
    case EINVAL, EBUSY, EEXIST:
      PortError(
        "an interface named \(name) exists already and is not a TAP device (\(kind ?? "a network card")); "
          + "choose another name, or add it with type=system")
    default: PortError(SystemError("create TAP device \(name)", code: code).description)
    }
  }
}
