import Linux
import Packet
import VhostUser
import Virtio

// A guest behind a vIOMMU: its translations are asked for, and what waits for them is delivered when they have come.
extension VhostUserPort {
  // MARK: asking

  /// Asks ahead for the translations of the buffers the guest offers by ring `index`.
  // SAFETY: `maps` are the session's translations, which `quiesce` stops the use of.
  func lookAhead(
    _ index: Int, _ session: Session, _ features: VirtioFeatures, _ maps: UnsafePointer<PublishedMap>
  ) throws(SessionError) {
    guard let layout = try session.layout(of: index), let translations = session.translations else { return }
    let vring = session.vrings[index]
    let isReceiving = index % 2 == 0
    let lookahead = BufferLookahead(
      layout, RingPosition(base: vring.base, size: vring.size, packed: session.isPacked), features,
      isWritable: isReceiving, maps, tables: translations.readable
    ) { [unowned session] address, isWritten in
      session.requestTranslationAhead(of: address, forWriting: isWritten)
    }
    // By the other rings' kicks poll threads are woken.
    if isReceiving, let kick = vring.kick {
      lookahead.watch(kick.raw, on: loop) { [unowned self] in kicks[index, default: 0] &+= $0 }
    }
    lookaheads[index] = lookahead
    lookahead.look()
  }

  /// Asks for what queues could not go on without, and again while it does not come: a guest may map later what
  /// its front-end could not translate when it was asked, and nobody tells of that.
  // SAFETY: pairs live until the port is closed; what is asked of them here any thread may ask.
  func requestMissedAddresses() {
    missTimer?.cancel()
    guard let session, isEngaged else { return }
    var isWaiting = session.requestRings() || session.hasUnsentRequests
    for number in 0..<options.queuePairs {
      guard let pair = pointer.pointee.pair(number) else { continue }
      for (missed, ring) in pair.misses(number) {
        guard let address = missed.pointee.address else { continue }
        session.requestTranslation(of: address, forWriting: missed.pointee.isForWriting)
        lookaheads[ring]?.look()
        isWaiting = true
      }
    }
    session.sendRequests()
    guard isWaiting else { return }
    missTimer = loop.after(milliseconds: Self.secondsUnanswered * 1000) { [unowned self] in
      discardStranded()
      requestMissedAddresses()
    }
  }

  private static var secondsUnanswered: Int { 1 }

  /// Queues go on whose translations have come.
  // SAFETY: as for `requestMissedAddresses`.
  public func translationsChanged(_ session: Session) {
    guard isEngaged, let translations = session.translations else { return }
    for number in 0..<options.queuePairs {
      guard let pair = pointer.pointee.pair(number) else { continue }
      for (missed, _) in pair.misses(number) {
        guard let address = missed.pointee.address else { continue }
        let lookup = translations.translate(address, 1, missed.pointee.isForWriting ? .write : .read)
        if case .found = lookup { missed.pointee.forget() }
      }
    }
    for lookahead in lookaheads.values { lookahead.look() }
    deliverWaiting()
    environment?.wake()
  }

  // MARK: what waits for the guest

  /// Delivers frames that no longer have to wait. Under load poll threads do so themselves, before the next frame.
  func deliverWaiting() {
    guard isEngaged, routes.numbers.contains(where: { isWaiting($0) && !isStranded($0) }) else { return }
    gate.pointee.pause()
    environment?.synchronize()
    open()
  }

  /// Delivers what waits, and lets poll threads in.
  // SAFETY: the gate is closed or paused, and every poll thread has passed since. Those of a paused port only add to
  // what waits.
  func open() {
    for number in routes.numbers {
      guard let pair = pointer.pointee.pair(number) else { continue }
      pair.waiting.pointee.announceNext(true)
      guard isWaiting(number) else { continue }
      let isDelivered = pair.transmitter.pointee.deliver(from: Batch(), counters)
      pair.transmitter.pointee.flush(counters)
      // What holds it back is announced when it has come.
      if !isDelivered { pair.waiting.pointee.announceNext(false) }
    }
    // Unless the guest was found to have broken a rule, which has been reported.
    if gate.pointee.reported == .none { gate.pointee.open() }
  }

  private func isWaiting(_ number: Int) -> Bool {
    pointer.pointee.pair(number).map { !$0.waiting.pointee.isEmpty } ?? false
  }

  /// Whether pair `number` has no ring or no buffer to receive by, because either is not translated.
  private func isStranded(_ number: Int) -> Bool {
    lookaheads[Self.receiveRing(number)] == nil
      || pointer.pointee.pair(number)?.missedByTransmitter.pointee.isSet == true
  }

  /// Drops what has waited in vain.
  private func discardStranded() {
    let stranded = routes.numbers.filter { isWaiting($0) && isStranded($0) }
    guard isEngaged, !stranded.isEmpty else { return }
    gate.pointee.close()
    environment?.synchronize()
    for number in stranded { discardWaiting(number) }
    open()
  }

  // SAFETY: the gate is closed, and every poll thread has passed since.
  func discardWaiting(_ number: Int) {
    guard let pair = pointer.pointee.pair(number) else { return }
    let count = pair.waiting.pointee.removeAll()
    guard count > 0 else { return }
    counters.drop(.untranslated, count)
    pair.transmitted.drop(.untranslated, count)
  }
}

extension VhostUserIO.Pair {
  /// What either half waits for, and the ring it serves.
  fileprivate func misses(_ number: Int) -> [(UnsafePointer<MissedAddress>, ring: Int)] {
    [
      (missedByReceiver, VhostUserPort.sendRing(number)),
      (missedByTransmitter, VhostUserPort.receiveRing(number)),
    ]
  }
}
