// A guest's network card, over vhost-user
// =======================================
//
// The switch is always the back-end. In the *server* role it listens and a front-end (QEMU) connects; in the *client*
// role QEMU listens, and the switch connects, and connects again for ever. Either side may vanish and come back: the
// position of a ring is in the ring itself (its used index), because every buffer taken in a turn is completed in it.
//
// One front-end at a time. A peer that breaks the protocol, or whose guest breaks a ring's rules, loses its connection
// and is named in the status; the port goes on waiting for a better one.

import Glibc
import Linux
import Packet
import VhostUser
import Virtio

public final class VhostUserPort: Port {
  public let name: String
  private let loop: EventLoop
  private let options: VhostUserOptions
  private var configuration: PortConfiguration
  private let pointer: UnsafeMutablePointer<VhostUserIO>
  // Its parts, by their own pointers: to go through `pointer` would be a formal access to all of it.
  private let gate: UnsafePointer<VhostUserGate>
  private let receiver: UnsafeMutablePointer<VhostUserReceive>
  private let transmitter: UnsafeMutablePointer<VhostUserTransmit>
  private var environment: PortEnvironment?

  private var socket: VhostUserSocket?
  private var listenWatch: EventLoop.Watch?
  private var signalWatch: EventLoop.Watch?
  private var reconnect: EventLoop.Timer?

  private var session: Session?
  private var sessionWatch: EventLoop.Watch?
  /// Poll threads may be inside: the gate was opened, and `quiesce` has not been called since.
  private var isEngaged = false
  private var isClosed = false

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
      let io = VhostUserIO(try VhostUserGate())
      gate = io.gate
      receiver = io.receiver
      transmitter = io.transmitter
      pointer = .allocate(capacity: 1)
      pointer.initialize(to: io)
    } catch { throw PortError("\(configuration.name): \(error.description)") }
  }

  deinit { close() }

  public var io: PortIO { .vhostUser(pointer) }
  public var receiveQueueCount: Int { 1 }

  public var status: PortStatus {
    var status = PortStatus()
    status.error = error
    status.adminUp = true
    status.linkUp = isUp
    status.linkResets = linkResets
    status.mtu = mtu ?? 1500
    status.details = VhostUserStatus.details(options, session, mtu: status.mtu!)
    return status
  }

  private var mtu: Int? { configuration.requestedMTU ?? session?.mtu }
  private var isUp: Bool { isEngaged && session.map { $0.isUsable(0) && $0.isUsable(1) } ?? false }

  // MARK: life

  public func start(_ environment: PortEnvironment) throws(PortError) {
    if options.role == .server {
      let socket = try VhostUserSocket(name, options)
      self.socket = socket
      listenWatch = loop.watch(socket.descriptor.raw, .read) { [unowned self] _ in acceptFrontEnd() }
    }
    self.environment = environment
    signalWatch = loop.watch(gate.pointee.signal.raw, .read) { [unowned self] _ in handleViolation() }
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
      let connection = try UnixSocket.connect(options.socket)
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
    let session = Session(connection, owner: self, features: Self.features, queuePairs: 1)
    self.session = session
    Log.info("vhost-user", "\(name): connected on \(options.socket)")
    sessionWatch = loop.watch(connection.descriptor.raw, .read) { [unowned self] _ in process(session) }
    environment?.statusChanged()
  }

  private func process(_ session: Session) {
    do { try session.process() } catch { disconnect(error) }
  }

  private func handleViolation() {
    let violation = gate.pointee.reported
    guard violation != .none, session != nil else {
      gate.pointee.forgetViolation()
      return
    }
    disconnect(.violation(violation.sentence))
  }

  private func disconnect(_ reason: SessionError) {
    guard let session else { return }
    for vring in session.vrings where reason.kind == .violation {
      if let error = vring.error { EventFD.signal(error.raw) }
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
    gate.pointee.forgetViolation()
    session.end()
    self.session = nil
    noteLink()
  }

  private func report(_ sentence: String?) {
    guard sentence != error else { return }
    error = sentence
    environment?.statusChanged()
  }

  /// Counts changes of the link.
  private func noteLink() {
    guard isUp != wasUp else { return }
    wasUp = isUp
    linkResets += 1
    if wasUp { error = nil }
    environment?.statusChanged()
  }
}

// MARK: - rings in and out of use

extension VhostUserPort: SessionOwner {
  /// Split rings whose addresses are not translated.
  private static let features = VirtioFeatures.implemented.subtracting([
    .multiqueue, .logAll, .accessPlatform, .packedRing,
  ])
  private static let guestReceives = 0
  private static let guestSends = 1

  // SAFETY: once the gate is closed and every poll thread has passed, the halves belong to this thread.
  public func quiesce(_ session: Session) {
    guard isEngaged, let environment else { return }
    isEngaged = false
    gate.pointee.close()
    environment.setWaitDescriptor(0, nil, true)
    environment.synchronize()
    remember(receiver.pointee.detach(), Self.guestSends, session)
    remember(transmitter.pointee.detach(), Self.guestReceives, session)
  }

  private func remember(_ position: UInt16?, _ index: Int, _ session: Session) {
    guard let position else { return }
    session.vrings[index].base = UInt32(position)
    session.vrings[index].baseIsNew = false
  }

  // SAFETY: the gate is closed, and poll threads have passed since it was (or it was never open).
  public func resume(_ session: Session) throws(SessionError) {
    guard !isEngaged, let environment, let memory = session.memory, let features = session.features else {
      return noteLink()
    }
    let violation = gate.pointee.reported
    if violation != .none { throw .violation(violation.sentence) }
    let receives = session.isUsable(Self.guestReceives)
    let sends = session.isUsable(Self.guestSends) || session.discards(Self.guestSends)
    guard receives || sends else { return noteLink() }

    let isNew = session.vrings.contains { $0.isRunnable && $0.baseIsNew }
    if sends {
      let queue = try makeQueue(session, Self.guestSends, memory, features)
      receiver.pointee.attach(
        queue, memory.map, features, isPolled: session.vrings[Self.guestSends].kick == nil,
        discards: !session.isUsable(Self.guestSends))
    }
    if receives {
      let queue: SplitVirtqueue
      do {
        queue = try makeQueue(session, Self.guestReceives, memory, features)
      } catch {
        _ = receiver.pointee.detach()
        throw error
      }
      transmitter.pointee.attach(queue, memory.map, features)
    }
    transmitter.pointee.maximumFrameLength = mtu.map { $0 + 14 + 8 } ?? .max
    // Whoever served the rings before may have died between completing a buffer and saying so.
    if isNew {
      receiver.pointee.interrupt()
      transmitter.pointee.interrupt()
    }
    isEngaged = true
    gate.pointee.open()
    environment.setWaitDescriptor(0, session.vrings[Self.guestSends].kick?.raw, true)
    environment.wake()
    noteLink()
  }

  public func synchronize() { environment?.synchronize() }

  public func translationsChanged(_ session: Session) { environment?.wake() }

  public func announce(_ session: Session, address: MACAddress) {}

  private func makeQueue(
    _ session: Session, _ index: Int, _ memory: GuestMemory, _ features: VirtioFeatures
  ) throws(SessionError) -> SplitVirtqueue {
    let vring = session.vrings[index]
    guard let layout = try session.layout(of: index) else { throw .violation("ring \(index) has no memory") }
    var position = UInt16(truncatingIfNeeded: vring.base)
    if vring.baseIsNew {
      // Buffers are completed in order, so the used index in the ring is the truth; a front-end that lost its
      // back-end without a GET_VRING_BASE may only know an older one.
      position = layout.usedIndex
      if UInt32(position) != vring.base {
        Log.info("vhost-user", "\(name): ring \(index) continues at \(position) instead of \(vring.base)")
      }
    }
    return SplitVirtqueue(layout, position: position, features: features, call: vring.call?.raw ?? -1)
  }
}
