// A guest's network card, over vhost-user
// =======================================
//
// The switch is always the back-end. In the *server* role it listens and a front-end (QEMU) connects; in the *client*
// role QEMU listens, and the switch connects, and connects again for ever. Either side may vanish and come back: the
// position of a ring is in the ring itself, because every buffer taken in a turn is completed in it. How rings come into
// use and out of it again is in VhostUserPort+Rings.
//
// One front-end at a time. A peer that breaks the protocol, or whose guest breaks a ring's rules, loses its connection
// and is named in the status; the port goes on waiting for a better one.

import Glibc
import Linux
import VhostUser
import Virtio

public final class VhostUserPort: Port {
  public let name: String
  let loop: EventLoop
  let options: VhostUserOptions
  private var configuration: PortConfiguration
  let pointer: UnsafeMutablePointer<VhostUserIO>
  // By a pointer of its own: to go through `pointer` would be a formal access to all of it.
  let gate: UnsafePointer<VhostUserGate>
  var environment: PortEnvironment?

  private var socket: VhostUserSocket?
  private var listenWatch: EventLoop.Watch?
  private var signalWatch: EventLoop.Watch?
  private var reconnect: EventLoop.Timer?

  var session: Session?
  private var sessionWatch: EventLoop.Watch?
  /// Poll threads may be inside: the gate was opened, and `quiesce` has not been called since.
  var isEngaged = false
  private var isClosed = false
  public internal(set) var receiveQueueCount = 1
  public internal(set) var transmitQueueCount = 1
  var routes = Routes()
  /// By ring: what asks ahead for the translations of its buffers.
  var lookaheads: [Int: BufferLookahead] = [:]
  var missTimer: EventLoop.Timer?
  /// Kicks that came by each ring, as far as they were counted.
  var kicks: [Int: UInt64] = [:]
  /// What this thread did in poll threads' place.
  let counters = PortCounters()
  private var history = FrontEndHistory()

  private var error: String?
  private var linkResets: Int64 = 0
  private var wasUp = false

  private enum Delay {
    /// Milliseconds between attempts to connect: traffic resumes well within a second.
    static let absent = 200
    static let first = 50
    /// After a violation.
    static let violation = 1000
  }

  /// - Parameter configuration: of kind `vhostUser` or `vhostUserClient`.
  // SAFETY: `pointer` stays initialised until `close`, after which nothing may use the port.
  public init(_ configuration: PortConfiguration, loop: EventLoop) throws(PortError) {
    name = configuration.name
    self.configuration = configuration
    self.loop = loop
    options = try VhostUserOptions(configuration)
    do {
      let io = VhostUserIO(try VhostUserGate(), pairs: options.queuePairs)
      gate = io.gate
      pointer = .allocate(capacity: 1)
      pointer.initialize(to: io)
    } catch { throw PortError("\(configuration.name): \(error.description)") }
  }

  deinit {
    close()
    counters.deallocate()
  }

  public var io: PortIO { .vhostUser(pointer) }
  public var controlCounters: PortCounters? { counters }

  public var status: PortStatus {
    var status = PortStatus()
    status.error = error
    status.adminUp = true
    status.linkUp = isUp
    status.linkResets = linkResets
    status.mtu = mtu ?? 1500
    var facts = VhostUserStatus.Facts(options, mtu: status.mtu!)
    facts.connects = history.connects
    facts.disconnects = history.disconnects
    facts.lastDisconnectReason = history.lastDisconnectReason
    facts.changed = history.changed
    facts.session = session.map { VhostUserStatus.SessionFacts($0) }
    status.details = VhostUserStatus.details(facts)
    return status
  }

  var mtu: Int? { configuration.requestedMTU ?? session?.mtu }
  private var isUp: Bool { isEngaged && session.map { $0.isUsable(0) && $0.isUsable(1) } ?? false }

  // MARK: life

  public func start(_ environment: PortEnvironment) throws(PortError) {
    if options.role == .server {
      let socket = try VhostUserSocket(name, options)
      self.socket = socket
      listenWatch = loop.watch(socket.descriptor.raw, .read) { [unowned self] _ in acceptFrontEnd() }
    }
    self.environment = environment
    signalWatch = loop.watch(gate.pointee.signal.raw, .read) { [unowned self] _ in handleSignal() }
    if options.role == .client { connect() }
  }

  public func reconfigure(_ configuration: PortConfiguration) throws(PortError) -> Bool {
    guard configuration.name == name, configuration.kind == self.configuration.kind,
      try VhostUserOptions(configuration) == options
    else { return false }
    guard configuration != self.configuration else { return true }
    self.configuration = configuration
    if let session {
      quiesce(session)
      do { try resume(session) } catch { disconnect(error) }
    }
    environment?.statusChanged()
    return true
  }

  // SAFETY: after `quiesce` no poll thread is inside, and the datapath asks for nothing after `close`.
  public func close() {
    guard !isClosed else { return }
    isClosed = true
    reconnect?.cancel()
    missTimer?.cancel()
    listenWatch?.cancel()
    signalWatch?.cancel()
    endSession()
    socket = nil
    environment?.synchronize()
    pointer.deinitialize(count: 1)
    pointer.deallocate()
  }

  // MARK: connections

  private func acceptFrontEnd() {
    // A few in each turn: whoever connects in a storm does not keep others waiting.
    for _ in 0..<8 {
      guard let listener = socket?.descriptor.raw else { return }
      do {
        guard let connection = try UnixSocket.accept(listener) else { return }
        admit(Connection(connection))
      } catch {
        Log.warning("vhost-user", "\(name): \(error)")
        return
      }
    }
  }

  /// Begins a session with a new front-end, unless there is a living one.
  private func admit(_ connection: Connection) {
    if let session {
      guard session.connection.peerIsGone else {
        Log.warning(
          "vhost-user", "\(name): a second front-end connected to \(options.socket) and was refused")
        return
      }
      disconnect(.closed)
    }
    begin(connection)
  }

  private func connect() {
    do {
      let connection = try UnixSocket.connect(trusted: options.socket)
      begin(Connection(connection))
    } catch {
      // That nobody listens yet is what this role is for.
      let isAbsent = error.code == ENOENT || error.code == ECONNREFUSED || error.code == EAGAIN
      report(isAbsent ? self.error : VhostUserSocket.explain(name, options.socket, error).description)
      connectLater(Delay.absent)
    }
  }

  private func connectLater(_ milliseconds: Int) {
    guard options.role == .client, !isClosed else { return }
    reconnect?.cancel()
    reconnect = loop.after(milliseconds: milliseconds) { [unowned self] in connect() }
  }

  private func begin(_ connection: Connection) {
    let session = Session(
      connection, owner: self, features: options.offeredFeatures(),
      protocolFeatures: options.offeredProtocolFeatures(), queuePairs: options.queuePairs,
      configuration: DeviceConfiguration(mtu: configuration.requestedMTU.flatMap(UInt16.init(exactly:))))
    self.session = session
    history.noteConnect()
    Log.info("vhost-user", "\(name): connected on \(options.socket)")
    sessionWatch = loop.watch(connection.descriptor.raw, .read) { [unowned self] _ in process(session) }
    environment?.statusChanged()
  }

  private func process(_ session: Session) {
    do { try session.process() } catch { disconnect(error) }
  }

  /// A poll thread found that the guest broke the rules, or needs a translation, or has kept a frame.
  private func handleSignal() {
    let violation = gate.pointee.reported
    gate.pointee.signal.drain()
    guard let session else { return gate.pointee.forgetViolation() }
    if violation != .none { return disconnect(reason(violation, session)) }
    requestMissedAddresses()
    deliverWaiting()
  }

  /// Where memory was truncated zeroes are read, and most rings come out broken by them: not the guest's doing.
  func reason(_ violation: RingViolation, _ session: Session) -> SessionError {
    let isTruncated = session.memory?.hasFaulted ?? false
    return .violation((isTruncated ? .memoryTruncated : violation).sentence)
  }

  func disconnect(_ reason: SessionError) {
    guard let session else { return }
    history.noteDisconnect(reason.description)
    for vring in session.vrings where reason.kind == .violation {
      if let error = vring.error { EventFD.signalPeer(error.raw) }
    }
    endSession()
    switch reason.kind {
    case .closed: Log.info("vhost-user", "\(name): \(reason) on \(options.socket)")
    case .violation, .system:
      error = "\(name): front-end on \(options.socket) was disconnected: \(reason); restart it"
      Log.warning("vhost-user", error!)
    }
    connectLater(reason.kind == .closed ? Delay.first : Delay.violation)
    environment?.statusChanged()
  }

  private func endSession() {
    guard let session else { return }
    sessionWatch?.cancel()
    sessionWatch = nil
    quiesce(session)
    shut()
    gate.pointee.forgetViolation()
    pointer.pointee.announcement.pointee.forget()
    session.end()
    self.session = nil
    setQueues(receive: 1, transmit: 1)
    noteLink()
  }

  private func report(_ sentence: String?) {
    guard sentence != error else { return }
    error = sentence
    environment?.statusChanged()
  }

  /// Counts changes of the link.
  func noteLink() {
    guard isUp != wasUp else { return }
    wasUp = isUp
    linkResets += 1
    if wasUp { error = nil }
    environment?.statusChanged()
  }
}
