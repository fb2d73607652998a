import Packet
import Virtio

/// The data face of a vhost-user port: the gate, and for each queue pair a half for either direction. The halves lie
/// apart, because different threads write to them. A pair is made when its guest first uses it.
///
/// Receive queue q is what the guest sends by its pair q. Transmit queues are those pairs the guest has enabled for
/// receiving, in order: which they are changes as the guest likes.
public struct VhostUserIO: ~Copyable {
  /// Halves of one queue pair.
  struct Pair {
    let receiver: UnsafeMutablePointer<VhostUserReceive>
    let transmitter: UnsafeMutablePointer<VhostUserTransmit>
    // What the control thread looks at while poll threads work: by pointers of their own, as to go through a half would
    // be a formal access to all of it.
    let received: PortCounters
    let transmitted: PortCounters
    let missedByReceiver: UnsafePointer<MissedAddress>
    let missedByTransmitter: UnsafePointer<MissedAddress>
    /// What is for the guest and waits; also for poll threads while the gate is paused.
    let waiting: UnsafeMutablePointer<WaitingFrames>
  }

  let gate: UnsafePointer<VhostUserGate>
  let announcement: UnsafePointer<Announcement>
  /// By number, `pairLimit` of them.
  private let pairs: UnsafeMutablePointer<Pair?>
  private let pairLimit: Int
  /// The pair of each transmit queue; `routeCount` of them.
  private let routes: UnsafeMutablePointer<Pair>
  private let state: UnsafeMutablePointer<State>
  /// By transmit queue, a cache line each: something was transmitted since the last `flush`.
  private let awaitsFlush: UnsafeMutablePointer<SIMD64<UInt8>>

  private struct State {
    var routeCount = 0
    var accepts: OffloadCapabilities = []
    /// The guest's driver is there, but receives by no queue.
    var isDisabled = false
  }

  // SAFETY: all are initialised here and freed in deinit, which `VhostUserPort.close` reaches only after every
  // poll thread has let go of the port.
  init(_ gate: consuming VhostUserGate, pairs limit: Int) {
    self.gate = UnsafePointer(Self.apart(gate))
    announcement = UnsafePointer(Self.apart(Announcement()))
    pairLimit = limit
    pairs = .allocate(capacity: limit)
    pairs.initialize(repeating: nil, count: limit)
    routes = .allocate(capacity: limit)
    state = Self.apart(State())
    awaitsFlush = .allocate(capacity: limit)
    awaitsFlush.initialize(repeating: .zero, count: limit)
  }

  deinit {
    for index in 0..<pairLimit {
      guard let pair = pairs[index] else { continue }
      pair.receiver.deinitialize(count: 1)
      pair.receiver.deallocate()
      pair.transmitter.deinitialize(count: 1)
      pair.transmitter.deallocate()
    }
    pairs.deallocate()
    routes.deallocate()
    state.deallocate()
    awaitsFlush.deallocate()
    UnsafeMutablePointer(mutating: announcement).deinitialize(count: 1)
    announcement.deallocate()
    UnsafeMutablePointer(mutating: gate).deinitialize(count: 1)
    gate.deallocate()
  }

  /// Storage that shares no cache line, nor the one prefetched with it, with anything else.
  private static func apart<Half: ~Copyable>(_ half: consuming Half) -> UnsafeMutablePointer<Half> {
    let bytes = (MemoryLayout<Half>.stride + 127) & ~127
    let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 128)
    let pointer = raw.bindMemory(to: Half.self, capacity: 1)
    pointer.initialize(to: half)
    return pointer
  }

  // MARK: for the control thread, while the gate is closed and every poll thread has passed

  /// Pair `index`, if it was ever used.
  func pair(_ index: Int) -> Pair? { pairs[index] }

  /// Pair `index`, made if need be.
  func makePair(_ index: Int) -> Pair {
    if let pair = pairs[index] { return pair }
    let receiver = VhostUserReceive(gate)
    let transmitter = VhostUserTransmit(gate)
    let (received, transmitted) = (receiver.own, transmitter.own)
    let (byReceiver, byTransmitter, waiting) = (receiver.missed, transmitter.missed, transmitter.waiting)
    let pair = Pair(
      receiver: Self.apart(receiver), transmitter: Self.apart(transmitter), received: received,
      transmitted: transmitted, missedByReceiver: byReceiver, missedByTransmitter: byTransmitter,
      waiting: waiting)
    pairs[index] = pair
    return pair
  }

  /// Sends by the pairs with these numbers, which exist.
  func route(_ numbers: [Int], accepts: OffloadCapabilities, isDisabled: Bool) {
    for (queue, number) in numbers.enumerated() {
      if let pair = pairs[number] { (routes + queue).initialize(to: pair) }
    }
    state.pointee = State(routeCount: numbers.count, accepts: accepts, isDisabled: isDisabled)
  }

  // MARK: for poll threads

  // Every call asks the gate before it touches a half: while the gate is not open the halves are the control thread's.
  // What began in a turn ends in it, even if the gate closes meanwhile: `release` and `flush` do not ask.

  public var accepts: OffloadCapabilities { gate.pointee.state == .closed ? [] : state.pointee.accepts }

  // SAFETY: `queue` is below the count of receive queues, and so below `pairLimit`.
  public func receive(queue: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    guard gate.pointee.isActive, let pair = pairs[queue] else { return 0 }
    if queue == 0 && announcement.pointee.isWaiting {
      return announcement.pointee.receive(into: &batch, counters)
    }
    return pair.receiver.pointee.receive(into: &batch, counters)
  }

  public func release(queue: Int, _ batch: borrowing Batch, _ counters: PortCounters) {
    pairs[queue].unsafelyUnwrapped.receiver.pointee.release(counters)
  }

  // SAFETY: routes below `routeCount` are initialised, and `routeCount` is at most the number of pairs. Routes change
  // only after every poll thread has left. A queue's flag is touched only by whoever may transmit through it.
  public func transmit(
    queue: Int, _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, count: Int,
    from batch: borrowing Batch, _ counters: PortCounters
  ) {
    let gate = gate.pointee.state
    guard gate != .closed, queue < state.pointee.routeCount else {
      counters.drop(gate == .open && state.pointee.isDisabled ? .receiverDisabled : .notReady, count)
      return
    }
    if gate == .paused { return keep(frames, indices, count, from: batch, routes[queue], counters) }
    awaitsFlush[queue][0] = 1
    routes[queue].transmitter.pointee.transmit(frames, indices, count: count, from: batch, counters)
  }

  /// Frames for a guest whose rings or buffers are back soon.
  @inline(never)
  private func keep(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, _ count: Int,
    from batch: borrowing Batch, _ pair: Pair, _ counters: PortCounters
  ) {
    let kept = pair.waiting.pointee.keep(frames, indices, count, from: batch, gate)
    guard kept < count else { return }
    counters.drop(.untranslated, count &- kept)
    pair.transmitted.drop(.untranslated, count &- kept)
  }

  public func flush(queue: Int, _ counters: PortCounters) {
    guard queue < pairLimit, awaitsFlush[queue][0] != 0 else { return }
    awaitsFlush[queue][0] = 0
    routes[queue].transmitter.pointee.flush(counters)
  }

  public func sleep(queue: Int) -> Bool {
    guard gate.pointee.isActive, let pair = pairs[queue] else { return true }
    return pair.receiver.pointee.sleep()
  }

  public func wake(queue: Int) {
    guard gate.pointee.isActive, let pair = pairs[queue] else { return }
    pair.receiver.pointee.wake()
  }
}
