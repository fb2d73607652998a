import CLinux
import Glibc
import Linux
import Packet
import Synchronization

/// A frame as it arrived, and what its sender left to do.
struct Arrival {
  var bytes: [UInt8]
  var offload: Offload
}

/// The far end of a kernel interface: a packet socket with virtio-net headers, so that a test can hand the kernel any
/// frame with any offload request, and see what arrives as unfinished as it is.
final class FarEnd {
  private let device: String
  private let socket: FileDescriptor
  private var buffer = [UInt8](repeating: 0, count: 1 << 17)
  private static let headerLength = 10

  /// Opens the socket on `device` in `namespace`, for frames to any address, but not those sent by it.
  init(_ device: String, in namespace: Namespace) throws {
    self.device = device
    let path = "/run/netns/\(namespace.name)"
    let result = Mutex<(descriptor: Int32, error: Int32)>((-1, 0))
    // On a thread of its own, because a thread is in one namespace.
    let thread = try Thread(name: "far end") {
      let entry = Glibc.open(path, O_RDONLY | O_CLOEXEC)
      defer { close(entry) }
      let descriptor = cl_enter_network(entry) == 0 ? Self.makeSocket(on: device) : -1
      result.withLock { $0 = (descriptor, errno) }
    }
    thread.join()
    let (descriptor, error) = result.withLock { $0 }
    guard descriptor >= 0 else {
      throw HarnessError("packet socket on \(device): \(String(cString: strerror(error)))")
    }
    socket = FileDescriptor(owning: descriptor)
  }

  private static func makeSocket(on device: String) -> Int32 {
    let flags = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let raw = Glibc.socket(AF_PACKET, flags, 0)
    guard raw >= 0 else { return -1 }
    func set(_ level: Int32, _ option: Int32, _ value: Int32) -> Bool {
      var value = value
      return setsockopt(raw, level, option, &value, 4) == 0
    }
    var address = sockaddr_ll()
    address.sll_family = UInt16(AF_PACKET)
    address.sll_protocol = UInt16(ETH_P_ALL).bigEndian
    address.sll_ifindex = Int32(if_nametoindex(device))
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(raw, $0, socklen_t(MemoryLayout<sockaddr_ll>.size)) == 0
      }
    }
    let socketLevel = SOL_SOCKET
    let packetLevel: Int32 = 263  // SOL_PACKET
    guard set(socketLevel, SO_RCVBUFFORCE, 64 << 20), set(socketLevel, SO_SNDBUFFORCE, 8 << 20),
      set(packetLevel, PACKET_IGNORE_OUTGOING, 1), set(packetLevel, PACKET_AUXDATA, 1),
      set(packetLevel, PACKET_VNET_HDR, 1), bound
    else {
      let error = errno
      close(raw)
      errno = error
      return -1
    }
    return raw
  }

  /// Sends a frame, waiting for room if there is none.
  func send(_ frame: [UInt8], _ offload: Offload) throws {
    var header = (0..<8).map { UInt8(truncatingIfNeeded: offload.word >> (UInt64($0) * 8)) }
    header += [UInt8(offload.checksumOffset & 0xFF), UInt8(offload.checksumOffset >> 8)]
    let bytes = header + frame
    let deadline = now() + 5
    while true {
      let result = write(socket.raw, bytes, bytes.count)
      if result == bytes.count { return }
      guard errno == EAGAIN || errno == ENOBUFS, now() < deadline else {
        throw HarnessError("send \(frame.count) bytes on \(device): \(String(cString: strerror(errno)))")
      }
      usleep(100)
    }
  }

  /// The next frame that has arrived, its outer tag where it was on the wire; nil when there is none.
  func receive() throws -> Arrival? {
    var message = msghdr()
    var control = [UInt8](repeating: 0, count: 256)
    var auxiliary = tpacket_auxdata()
    var hasAuxiliary = false
    let count = buffer.withUnsafeMutableBytes { buffer in
      control.withUnsafeMutableBytes { control in
        var vector = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
        return withUnsafeMutablePointer(to: &vector) { vector in
          message.msg_iov = vector
          message.msg_iovlen = 1
          message.msg_control = control.baseAddress
          message.msg_controllen = control.count
          let count = recvmsg(socket.raw, &message, 0)
          if count >= 0 { hasAuxiliary = cl_packet_auxdata(&message, &auxiliary) == 1 }
          return count
        }
      }
    }
    guard count >= 0 else {
      if errno == EAGAIN || errno == EINTR || errno == ENETDOWN { return nil }
      throw HarnessError("receive on \(device): \(String(cString: strerror(errno)))")
    }
    let word = buffer[0..<8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    var offload = Offload(word: word, checksumOffset: UInt16(buffer[8]) | UInt16(buffer[9]) << 8)
    var bytes = Array(buffer[Self.headerLength..<count])
    if hasAuxiliary, auxiliary.tp_status & UInt32(TP_STATUS_VLAN_VALID) != 0 {
      let tpid = auxiliary.tp_vlan_tpid
      let tci = auxiliary.tp_vlan_tci
      bytes.insert(
        contentsOf: [UInt8(tpid >> 8), UInt8(tpid & 0xFF), UInt8(tci >> 8), UInt8(tci & 0xFF)], at: 12)
      offload = offload.shifted(by: 4)
    }
    return Arrival(bytes: bytes, offload: offload)
  }
}
