// The socket for requests of the back-end's own (vhost-user, "Back-end message types"). The front-end made it and reads
// it when it pleases: nothing here waits for it. A request that finds no room is kept, up to a limit, and sent before the
// next one. No answer is asked for, and so none has to be read.

import CLinux
import Glibc
import Linux

/// Requests a back-end sends.
public enum BackendRequest: UInt32, Sendable {
  case translation = 1
  case configurationChange = 2
}

struct BackendChannel {
  /// Requests that may wait to be sent. Each outstanding miss is at most one.
  static let limit = TranslationMisses.limit + 1

  private var socket: OwnedDescriptor?
  private var waiting: [[UInt8]] = []

  /// Whether requests are waiting for room.
  var hasUnsent: Bool { !waiting.isEmpty }

  /// Sends by `socket` from now on.
  mutating func open(_ socket: OwnedDescriptor) {
    self.socket = socket
    flush()
  }

  /// Sends, or keeps for later; false when neither is possible.
  mutating func send(_ request: BackendRequest, _ payload: [UInt8]) -> Bool {
    guard waiting.count < Self.limit else { return false }
    waiting.append(Message(request.rawValue, payload: payload).bytes)
    flush()
    return true
  }

  /// Sends what is waiting, as far as there is room. A socket that does not work is given up.
  mutating func flush() {
    guard let socket, !waiting.isEmpty else { return }
    var sent = 0
    for bytes in waiting {
      let count = cl_send_with_fds(socket.raw, bytes, bytes.count, nil, 0)
      if count < 0 && (errno == EAGAIN || errno == EINTR) { break }
      guard count == bytes.count else {
        Log.info("vhost-user", "the front-end takes no more requests of the back-end")
        return close()
      }
      sent += 1
    }
    waiting.removeFirst(sent)
  }

  mutating func close() {
    socket = nil
    waiting = []
  }
}

extension OwnedDescriptor {
  /// Whether it is a connected stream socket of this machine. Anything else could have effects elsewhere.
  var isLocalStream: Bool {
    func option(_ name: Int32) -> Int32? {
      var value: Int32 = 0
      var length = socklen_t(MemoryLayout<Int32>.size)
      return getsockopt(raw, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }
    return option(SO_TYPE) == Int32(SOCK_STREAM.rawValue) && option(SO_DOMAIN) == AF_UNIX
  }
}
