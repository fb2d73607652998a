import CLinux
import Glibc

/// The control thread's reactor: readiness callbacks, timers and signals on one epoll descriptor.
///
/// Everything that is not forwarding runs on one such loop: vhost-user sessions, JSON-RPC connections, netlink, the
/// control socket. It and whatever registers with it belong to one thread; nothing here is locked. Callbacks may
/// register and cancel anything, themselves included; a cancelled watch or timer is never called again, not even
/// for an event that was already fetched.
public final class EventLoop {
  public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = Interest(rawValue: EPOLLIN.rawValue)
    public static let write = Interest(rawValue: EPOLLOUT.rawValue)
  }

  /// What epoll said: any of readable, writable, hung up or failed.
  public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let readable = Readiness(rawValue: EPOLLIN.rawValue)
    public static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
    public static let hangup = Readiness(rawValue: EPOLLHUP.rawValue | EPOLLERR.rawValue)
  }

  /// One watched descriptor. The descriptor stays its owner's: cancel the watch before closing it.
  public final class Watch {
    fileprivate let descriptor: Int32
    fileprivate var handler: ((Readiness) -> Void)?
    fileprivate var interest: Interest
    /// Gone when a watch outlives its loop: then there is nothing left to cancel.
    fileprivate weak var loop: EventLoop?

    fileprivate init(
      _ loop: EventLoop, _ descriptor: Int32, _ interest: Interest, _ handler: @escaping (Readiness) -> Void
    ) {
      self.loop = loop
      self.descriptor = descriptor
      self.interest = interest
      self.handler = handler
    }

    /// Changes what is waited for (level triggered).
    public func update(_ interest: Interest) {
      guard handler != nil, interest != self.interest, let loop else { return }
      self.interest = interest
      loop.control(EPOLL_CTL_MOD, descriptor, interest)
    }

    public func cancel() {
      // The handler may hold the last reference to the loop, so that one is taken here before that goes.
      guard handler != nil, let loop else { return }
      handler = nil
      loop.control(EPOLL_CTL_DEL, descriptor, [])
      if loop.watches[descriptor] === self { loop.watches[descriptor] = nil }
    }
  }

  /// A pending call; cancel it or let it fire once.
  public final class Timer {
    fileprivate let deadline: UInt64
    fileprivate var body: (() -> Void)?

    fileprivate init(deadline: UInt64, body: @escaping () -> Void) {
      self.deadline = deadline
      self.body = body
    }

    public func cancel() { body = nil }
    public var isPending: Bool { body != nil }
  }

  private let epoll: FileDescriptor
  fileprivate var watches: [Int32: Watch] = [:]
  /// Sorted by deadline, soonest last.
  private var timers: [Timer] = []
  private var deferred: [() -> Void] = []
  private var stopped = false

  public init() throws(SystemError) {
    let raw = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard raw >= 0 else { throw .last("create an epoll descriptor") }
    epoll = FileDescriptor(owning: raw)
  }

  /// Calls `handler` whenever `descriptor` is ready. One watch per descriptor.
  @discardableResult
  public func watch(_ descriptor: Int32, _ interest: Interest, _ handler: @escaping (Readiness) -> Void)
    -> Watch
  {
    let watch = Watch(self, descriptor, interest, handler)
    precondition(watches[descriptor] == nil, "a descriptor has one watch")
    watches[descriptor] = watch
    control(EPOLL_CTL_ADD, descriptor, interest)
    return watch
  }

  /// Calls `body` once, `milliseconds` from now.
  @discardableResult
  public func after(milliseconds: Int, _ body: @escaping () -> Void) -> Timer {
    let timer = Timer(deadline: monotonicNanoseconds() + UInt64(max(0, milliseconds)) * 1_000_000, body: body)
    let index = timers.firstIndex { $0.deadline <= timer.deadline } ?? timers.endIndex
    timers.insert(timer, at: index)
    return timer
  }

  /// Calls `body` at the end of the current turn: to leave a deep call stack, or to batch.
  public func later(_ body: @escaping () -> Void) { deferred.append(body) }

  /// Turns until `stop`.
  public func run() {
    stopped = false
    while !stopped { turn() }
  }

  /// Turns until `condition` holds or `milliseconds` have passed; says whether it held.
  public func run(atMost milliseconds: Int, until condition: () -> Bool) -> Bool {
    let end = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    while !condition() {
      let now = monotonicNanoseconds()
      if now >= end { return false }
      turn(atMostMilliseconds: Int((end - now) / 1_000_000) + 1)
    }
    return true
  }

  public func stop() { stopped = true }

  /// Waits for something to happen, at most so long (-1: without limit), and handles all that did.
  public func turn(atMostMilliseconds limit: Int = -1) {
    var events = [epoll_event](repeating: epoll_event(), count: 64)
    let count = epoll_wait(epoll.raw, &events, Int32(events.count), Int32(waitTime(limit)))
    if count > 0 {
      for event in events.prefix(Int(count)) {
        guard let watch = watches[event.data.fd], let handler = watch.handler else { continue }
        handler(Readiness(rawValue: event.events))
      }
    }
    fireTimers()
    while !deferred.isEmpty {
      let batch = deferred
      deferred.removeAll()
      for body in batch { body() }
    }
  }

  private func waitTime(_ limit: Int) -> Int {
    if !deferred.isEmpty { return 0 }
    while let soonest = timers.last, soonest.body == nil { timers.removeLast() }
    guard let soonest = timers.last else { return limit }
    let now = monotonicNanoseconds()
    let wait = soonest.deadline <= now ? 0 : Int((soonest.deadline - now + 999_999) / 1_000_000)
    return limit < 0 ? min(wait, Int(Int32.max)) : min(wait, limit)
  }

  private func fireTimers() {
    let now = monotonicNanoseconds()
    while let soonest = timers.last, soonest.deadline <= now || soonest.body == nil {
      timers.removeLast()
      let body = soonest.body
      soonest.body = nil
      body?()
    }
  }

  private func control(_ operation: Int32, _ descriptor: Int32, _ interest: Interest) {
    var event = epoll_event()
    event.events = interest.rawValue
    event.data.fd = descriptor
    let result = epoll_ctl(epoll.raw, operation, descriptor, &event)
    // Removing a descriptor that its owner already closed is the one failure that is expected.
    precondition(result == 0 || operation == EPOLL_CTL_DEL, "epoll_ctl: \(String(cString: strerror(errno)))")
  }
}
