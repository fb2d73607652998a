/// What a connection has to send, in order. Some of it may not leave yet: a held reply keeps back itself and whatever
/// comes after it.
///
/// Positions count from the connection's first byte, so that they stay true when sent bytes are forgotten.
struct OutputBuffer {
  private var bytes: [UInt8] = []
  /// The position of `bytes[0]`.
  private var base = 0
  /// Bytes of `bytes` that were sent.
  private var sent = 0
  /// In the order of their places; those before `firstHold` were released.
  private var holds: [HeldReply] = []
  private var firstHold = 0

  /// Bytes that were not sent.
  var backlog: Int { bytes.count - sent }

  /// Bytes that may be sent now.
  var sendable: ArraySlice<UInt8> {
    let end = firstHold < holds.count ? holds[firstHold].place.lowerBound - base : bytes.count
    return bytes[sent..<end]
  }

  mutating func append(_ write: (inout [UInt8]) -> Void) { write(&bytes) }

  /// Appends a reply that is not to leave before `release`.
  mutating func hold(_ write: (inout [UInt8]) -> Void) -> HeldReply {
    let start = base + bytes.count
    write(&bytes)
    let reply = HeldReply(start..<base + bytes.count)
    holds.append(reply)
    return reply
  }

  /// Lets a reply go, with another text if one is given.
  mutating func release(_ reply: HeldReply, as text: [UInt8]?) {
    guard !reply.isReleased else { return }
    reply.isReleased = true
    if let text { replace(reply, text) }
    while firstHold < holds.count, holds[firstHold].isReleased { firstHold += 1 }
    // In steps that keep the cost linear.
    if firstHold == holds.count || firstHold > 1024 && firstHold > holds.count / 2 {
      holds.removeFirst(firstHold)
      firstHold = 0
    }
  }

  private mutating func replace(_ reply: HeldReply, _ text: [UInt8]) {
    let place = reply.place
    bytes.replaceSubrange(place.lowerBound - base..<place.upperBound - base, with: text)
    let shift = text.count - place.count
    for later in holds[firstHold...] where later.place.lowerBound >= place.upperBound {
      later.place = later.place.lowerBound + shift..<later.place.upperBound + shift
    }
    reply.place = place.lowerBound..<place.upperBound + shift
  }

  /// The first `count` bytes of `sendable` have left.
  mutating func consume(_ count: Int) { sent += count }

  /// Forgets sent bytes, in steps that keep the cost linear.
  mutating func reclaim() {
    if sent == bytes.count {
      base += sent
      bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 20)
      sent = 0
    } else if sent > 1 << 20, sent > bytes.count / 2 {
      base += sent
      bytes.removeSubrange(0..<sent)
      sent = 0
    }
  }

  mutating func removeAll() { self = OutputBuffer() }
}

/// A reply that is written but waits for something (`Connection.hold`).
public final class HeldReply {
  fileprivate var place: Range<Int>
  fileprivate var isReleased = false

  fileprivate init(_ place: Range<Int>) { self.place = place }
}
