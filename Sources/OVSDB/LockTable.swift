/// Advisory locks of the whole server (RFC 7047 §4.1.8): each has a queue of sessions, whose first is the owner.
struct LockTable {
  private var queues: [String: [Session]] = [:]

  func isOwner(_ session: Session, _ lock: String) -> Bool { queues[lock]?.first === session }

  /// Whether the session owns the lock or waits for it.
  func isQueued(_ session: Session, _ lock: String) -> Bool {
    queues[lock, default: []].contains { $0 === session }
  }

  /// Queues the session; says whether it is the owner.
  mutating func lock(_ session: Session, _ lock: String) -> Bool {
    queues[lock, default: []].append(session)
    return isOwner(session, lock)
  }

  /// Makes the session the owner; returns the one it was taken from, which now waits.
  mutating func steal(_ session: Session, _ lock: String) -> Session? {
    let victim = queues[lock]?.first
    queues[lock, default: []].insert(session, at: 0)
    return victim
  }

  /// Takes the session out of the queue; returns the owner if that is a new one.
  mutating func unlock(_ session: Session, _ lock: String) -> Session? {
    let wasOwner = isOwner(session, lock)
    queues[lock]?.removeAll { $0 === session }
    if queues[lock]?.isEmpty == true { queues[lock] = nil }
    return wasOwner ? queues[lock]?.first : nil
  }
}
