import Flow
import Linux

/// Flows that poll threads ask the control thread to learn: a short list, handed over under a lock.
///
/// Only frames that miss the cache, and once a second those that hit it, learn; so the lock is seldom taken. The list is
/// bounded: what does not fit is asked for again as long as there is traffic.
final class LearnedFlows: @unchecked Sendable {
  struct Request {
    let bridge: UInt32
    let flows: [FlowModification]
  }

  static let capacity = 4096

  let wakeup: EventFD
  private let requests = Locked<[Request]>([])

  init() throws(SystemError) { wakeup = try EventFD() }

  func submit(_ request: Request) {
    let isFirst = requests.withLock { list in
      guard list.count < Self.capacity else { return false }
      list.append(request)
      return list.count == 1
    }
    if isFirst { wakeup.signal() }
  }

  func take() -> [Request] {
    wakeup.drain()
    return requests.withLock { list in
      defer { list = [] }
      return list
    }
  }
}
