// Rings in and out of use
// =======================
//
// `resume` looks at what the front-end has said of every ring and attaches those that may be used to the halves of their
// pair; `quiesce` shuts the gate, waits until no poll thread is inside, and takes them off again, remembering how far each
// got. Between the two nothing the front-end lent is touched by anybody else, and everything may change. Behind a vIOMMU
// the gate is only paused: rings come and go with their translations, and what comes for the guest meanwhile waits.
//
// The guest decides how many of its pairs are enabled. The datapath is told before the gate opens, so that no two poll
// threads ever believe themselves alone on one ring.

import Glibc
import Linux
import Packet
import VhostUser
import Virtio

extension VhostUserPort: SessionOwner {
  /// The ring a pair's guest receives by, and the one it sends by.
  static func receiveRing(_ pair: Int) -> Int { 2 * pair }
  static func sendRing(_ pair: Int) -> Int { 2 * pair + 1 }

  // SAFETY: once the gate is closed and every poll thread has passed, the halves belong to this thread.
  public func quiesce(_ session: Session) {
    guard isEngaged, let environment else { return }
    isEngaged = false
    if session.translations != nil { gate.pointee.pause() } else { gate.pointee.close() }
    for lookahead in lookaheads.values { lookahead.stop() }
    lookaheads = [:]
    for pair in 0..<receiveQueueCount { environment.setWaitDescriptor(pair, nil, true) }
    environment.synchronize()
    for number in 0..<options.queuePairs {
      guard let pair = pointer.pointee.pair(number) else { continue }
      remember(pair.receiver.pointee.detach(), Self.sendRing(number), session)
      remember(pair.transmitter.pointee.detach(), Self.receiveRing(number), session)
    }
  }

  private func remember(_ position: RingPosition?, _ index: Int, _ session: Session) {
    guard let position else { return }
    let size = session.vrings[index].size
    session.vrings[index].base = position.base(size: size, packed: session.isPacked)
    session.vrings[index].baseIsNew = false
    countKicks(index, session)
  }

  // SAFETY: the gate is closed or paused, and poll threads have passed since it was (or it was never open).
  public func resume(_ session: Session) throws(SessionError) {
    guard !isEngaged, let environment else { return noteLink() }
    let wanted = RingsInUse(session, pairs: options.queuePairs)
    guard let features = session.features, session.memory != nil, !wanted.isEmpty else {
      shut()
      return noteLink()
    }
    let violation = gate.pointee.reported
    if violation != .none { throw reason(violation, session) }

    do {
      for number in wanted.sending { try attachReceiver(number, session, features) }
      for number in wanted.receiving { try attachTransmitter(number, session, features) }
    } catch {
      detachAll()
      throw error
    }
    route(Routes(numbers: wanted.receiving, accepts: features.driverAccepts))
    setQueues(receive: (wanted.sending.last ?? 0) + 1, transmit: max(1, wanted.receiving.count))
    isEngaged = true
    open()
    for number in wanted.sending {
      environment.setWaitDescriptor(number, session.vrings[Self.sendRing(number)].kick?.raw, true)
    }
    environment.wake()
    if session.translations != nil { requestMissedAddresses() }
    noteLink()
  }

  /// Changes by which pairs frames go to the guest, unless it is as it was.
  private func route(_ wanted: Routes) {
    guard wanted != routes else { return }
    shut()
    routes = wanted
    pointer.pointee.route(
      wanted.numbers, accepts: wanted.accepts, isDisabled: wanted.numbers.isEmpty)
  }

  /// Keeps poll threads out for longer: nothing waits any more.
  // SAFETY: once the gate is closed and every poll thread has passed, all of the port belongs to this thread.
  func shut() {
    if gate.pointee.state != .closed {
      gate.pointee.close()
      environment?.synchronize()
    }
    for number in 0..<options.queuePairs { discardWaiting(number) }
  }

  private func detachAll() {
    for number in 0..<options.queuePairs {
      guard let pair = pointer.pointee.pair(number) else { continue }
      _ = pair.receiver.pointee.detach()
      _ = pair.transmitter.pointee.detach()
    }
  }

  /// Tells the datapath how many queues there are, while the gate is closed.
  func setQueues(receive: Int, transmit: Int) {
    guard receive != receiveQueueCount || transmit != transmitQueueCount else { return }
    receiveQueueCount = receive
    transmitQueueCount = transmit
    environment?.statusChanged()
  }

  private func attachReceiver(_ number: Int, _ session: Session, _ features: VirtioFeatures)
    throws(SessionError)
  {
    let index = Self.sendRing(number)
    let receiver = pointer.pointee.makePair(number).receiver
    guard let maps = session.translations?.readable ?? session.memory?.published,
      let queue = try makeQueue(session, index, features)
    else { return }
    let vring = session.vrings[index]
    let isNew = vring.baseIsNew
    receiver.pointee.attach(
      queue, maps, features, log: session.dirtyLog, isPolled: options.isAlwaysPolled || vring.kick == nil,
      discards: !session.isUsable(index))
    if options.isAlwaysPolled { receiver.pointee.wake() }
    if isNew { receiver.pointee.interrupt() }
    if let translations = session.translations {
      try lookAhead(index, session, features, translations.readable)
    }
  }

  private func attachTransmitter(_ number: Int, _ session: Session, _ features: VirtioFeatures)
    throws(SessionError)
  {
    let index = Self.receiveRing(number)
    let pair = pointer.pointee.makePair(number)
    let transmitter = pair.transmitter
    if session.translations != nil { pair.waiting.pointee.prepare() }
    guard let maps = session.translations?.writable ?? session.memory?.published,
      let tables = session.translations?.readable ?? session.memory?.published,
      let queue = try makeQueue(session, index, features)
    else {
      if session.translations != nil { transmitter.pointee.awaitRing() }
      return
    }
    let isNew = session.vrings[index].baseIsNew
    transmitter.pointee.attach(
      queue, maps, tables: tables, features, log: session.dirtyLog, wantsKicks: session.translations != nil)
    transmitter.pointee.maximumFrameLength = mtu.map { $0 + 14 + 8 } ?? .max
    // Whoever served the ring before may have died between completing a buffer and saying so.
    if isNew { transmitter.pointee.interrupt() }
    if let translations = session.translations {
      try lookAhead(index, session, features, translations.writable)
    }
  }

  /// Nil while the vIOMMU has not translated where the ring is.
  private func makeQueue(_ session: Session, _ index: Int, _ features: VirtioFeatures)
    throws(SessionError) -> Virtqueue?
  {
    guard let layout = try session.layout(of: index) else { return nil }
    let vring = session.vrings[index]
    var position = RingPosition(base: vring.base, size: vring.size, packed: session.isPacked)
    // A front-end that lost its back-end without a GET_VRING_BASE may only know an older position than the ring tells.
    if vring.baseIsNew, let reached = RingPosition.reached(layout, packed: session.isPacked),
      reached != position
    {
      let place = reached.base(size: vring.size, packed: session.isPacked)
      Log.info("vhost-user", "\(name): ring \(index) continues at \(place) instead of \(vring.base)")
      position = reached
    }
    return Virtqueue(
      layout, position: position, features: features, call: vring.call?.raw ?? -1, log: session.dirtyLog)
  }

  // MARK: what else a session asks of its owner

  public func announce(_ session: Session, address: MACAddress) {
    let announcement = pointer.pointee.announcement
    announcement.pointee.forget()
    // A poll thread may be sending the one before.
    synchronize()
    announcement.pointee.ask(for: address)
    environment?.wake()
  }

  public func synchronize() { environment?.synchronize() }
}

/// By which pairs frames go to a guest, and what it accepts.
struct Routes: Equatable {
  var numbers: [Int] = []
  var accepts: OffloadCapabilities = []
}

/// Which pairs' rings may be used as things stand.
private struct RingsInUse {
  /// Pairs the guest receives by.
  var receiving: [Int] = []
  /// Pairs the guest sends by, also those whose frames are thrown away.
  var sending: [Int] = []

  var isEmpty: Bool { receiving.isEmpty && sending.isEmpty }

  init(_ session: Session, pairs: Int) {
    for number in 0..<min(pairs, session.vrings.count / 2) {
      if session.isUsable(2 * number) { receiving.append(number) }
      if session.isUsable(2 * number + 1) || session.discards(2 * number + 1) { sending.append(number) }
    }
  }
}
