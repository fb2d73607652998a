import Glibc
import Linux
import Synchronization

/// One TCP connection between two namespaces, through whatever connects them.
enum TCPTransfer {
  private static let port: UInt16 = 5201

  /// Sends `count` bytes from `client` to `address` in `server`. Returns what went wrong.
  static func run(from client: NetworkNamespace, to server: NetworkNamespace, _ address: String, count: Int)
    -> [String]
  {
    let isListening = Mutex(false)
    let received = Mutex<[String]>([])
    do {
      let thread = try Thread(name: "server") {
        let failures = server.run { checks in
          let listener = try open(address)
          defer { close(listener) }
          try connectOrBind(listener, address, bind)
          guard listen(listener, 1) == 0 else { throw Failure("listen: \(errno)") }
          isListening.withLock { $0 = true }
          let connection = accept(listener, nil, nil)
          guard connection >= 0 else { throw Failure("accept: \(errno)") }
          defer { close(connection) }
          checks.expect(try drain(connection) == count, "not all bytes came")
        }
        received.withLock { $0 = failures }
      }
      let sent = client.run { checks in
        let end = monotonicNanoseconds() + 5_000_000_000
        while !isListening.withLock({ $0 }) && monotonicNanoseconds() < end { usleep(1000) }
        let connection = try open(address)
        defer { close(connection) }
        try connectOrBind(connection, address, connect)
        try fill(connection, count)
      }
      thread.join()
      return sent + received.withLock { $0 }
    } catch {
      return ["\(error)"]
    }
  }

  private static func open(_ address: String) throws -> Int32 {
    let family = address.contains(":") ? AF_INET6 : AF_INET
    let raw = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw Failure("socket: \(errno)") }
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return raw
  }

  private static func connectOrBind(
    _ raw: Int32, _ text: String, _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws {
    var hints = addrinfo()
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
    var found: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(text, "\(port)", &hints, &found) == 0, let found else {
      throw Failure("address \(text)")
    }
    defer { freeaddrinfo(found) }
    guard call(raw, found.pointee.ai_addr, found.pointee.ai_addrlen) == 0 else {
      throw Failure("connect or bind \(text): \(String(cString: strerror(errno)))")
    }
  }

  /// Byte `i` of the stream, so that both sides know it.
  private static let block: [UInt8] = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31) }

  private static func fill(_ raw: Int32, _ count: Int) throws {
    var sent = 0
    while sent < count {
      let offset = sent % block.count
      let length = min(block.count - offset, count - sent)
      let result = block[offset..<offset + length].withUnsafeBytes { write(raw, $0.baseAddress!, length) }
      guard result > 0 else { throw Failure("write after \(sent): \(String(cString: strerror(errno)))") }
      sent += result
    }
  }

  private static func drain(_ raw: Int32) throws -> Int {
    var buffer = [UInt8](repeating: 0, count: block.count)
    var total = 0
    while true {
      let wanted = block.count - total % block.count
      let result = read(raw, &buffer, wanted)
      guard result >= 0 else { throw Failure("read after \(total): \(String(cString: strerror(errno)))") }
      if result == 0 { return total }
      let isSame = block[(total % block.count)...].withUnsafeBytes {
        memcmp(buffer, $0.baseAddress!, result) == 0
      }
      guard isSame else { throw Failure("other bytes at \(total)") }
      total += result
    }
  }
}
