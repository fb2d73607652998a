// What poll threads see of the configuration
// ==========================================
//
// The control thread never alters anything a poll thread reads. It builds a new View, publishes the pointer, wakes
// sleeping threads, synchronises, and frees the old one. A poll thread loads the pointer once a turn. So a change
// costs the packet path nothing, and a port that a change does not concern never notices: its rings and counters
// live in its PortSlot and PortIO, which old and new views both point to.
//
// Threads go over to a new view one by one, so for a moment some work by the old and some by the new. Where that is
// not enough to keep them apart, an interim view comes first: a receive queue that moves to another thread is in
// nobody's list, and a port whose transmit queues had, or will have, a thread each is locked by everyone. Frames wait in
// their ring meanwhile; none is lost, and none overtakes another.

import Packet
import Ports
import Synchronization

/// What of a port outlives views: its transmit locks and its counters.
struct PortSlot: ~Copyable {
  let index: UInt16
  /// What bounds the frames of this port that are flooded.
  let storm = StormBucket()
  /// One per transmit queue, up to one per poll thread; each on cache lines of its own.
  private let transmitLocks: UnsafeMutableRawPointer
  /// One per poll thread.
  let counters: UnsafeMutablePointer<PortCounters>
  let threadCount: Int

  init(index: UInt16, threadCount: Int) {
    self.index = index
    self.threadCount = threadCount
    transmitLocks = .allocate(byteCount: threadCount * 128, alignment: 128)
    counters = .allocate(capacity: threadCount)
    for thread in 0..<threadCount { (counters + thread).initialize(to: PortCounters()) }
    for queue in 0..<threadCount {
      UnsafeMutablePointer(mutating: transmitLock(queue)).initialize(to: Atomic(false))
    }
  }

  /// Serialises transmitting through `queue`, which is below `threadCount`.
  // SAFETY: `threadCount` locks were allocated, 128 bytes apart.
  func transmitLock(_ queue: Int) -> UnsafePointer<Atomic<Bool>> {
    UnsafePointer((transmitLocks + queue &* 128).assumingMemoryBound(to: Atomic<Bool>.self))
  }

  deinit {
    transmitLocks.deallocate()
    for thread in 0..<threadCount { counters[thread].deallocate() }
    counters.deallocate()
  }
}

/// A port as one view shows it.
struct PortEntry {
  let io: PortIO
  let slot: UnsafeMutablePointer<PortSlot>
  let bridge: Int32
  /// The port's OpenFlow number.
  let number: UInt16
  /// As many as are used: at most one per poll thread.
  let transmitQueues: Int32
  /// The longest frame to send, without tag; Int32.max where the port sets no limit.
  let longestFrame: Int32
  /// False when each poll thread has a transmit queue of its own.
  let locksTransmit: Bool
  let vlan: PortVLAN
}

/// A VLANConfiguration in the form the packet path reads.
struct PortVLAN {
  let mode: VLANConfiguration.Mode
  let tag: UInt16
  /// A bit per VLAN, 64 words; nil carries all.
  let trunks: UnsafeMutablePointer<UInt64>?

  /// A trunk that carries everything: no test of any frame is needed.
  @inline(__always)
  var isTransparent: Bool { mode == .trunk && trunks == nil }

  // SAFETY: `vlan` is below 4096 wherever it comes from (12 bits of a tag, or a checked configuration), and a bitmap
  // has 64 words.
  @inline(__always)
  private func inTrunks(_ vlan: Int) -> Bool {
    guard let trunks else { return true }
    return trunks[vlan >> 6] >> UInt64(vlan & 63) & 1 == 1
  }

  @inline(__always)
  func carries(_ vlan: Int) -> Bool {
    switch mode {
    case .access: vlan == Int(tag)
    case .trunk: inTrunks(vlan)
    case .nativeTagged, .nativeUntagged: vlan == Int(tag) || inTrunks(vlan)
    }
  }

  @inline(__always)
  func tags(_ vlan: Int) -> Bool {
    switch mode {
    case .access: false
    case .trunk, .nativeTagged: vlan != 0
    case .nativeUntagged: vlan != 0 && vlan != Int(tag)
    }
  }

  /// The VLAN of a received frame whose tag says `tagged` (0: untagged or a priority tag), or -1 if not allowed in.
  @inline(__always)
  func admit(_ tagged: Int) -> Int {
    switch mode {
    case .access: return tagged == 0 ? Int(tag) : -1
    case .trunk: return inTrunks(tagged) ? tagged : -1
    case .nativeTagged, .nativeUntagged:
      if tagged == 0 { return Int(tag) }
      return tagged == Int(tag) || inTrunks(tagged) ? tagged : -1
    }
  }
}

/// A bridge as one view shows it.
struct BridgeEntry {
  let index: Int
  let macTable: UnsafeMutablePointer<MACTable>
  let flows: UnsafeMutablePointer<BridgeFlows>
  /// Indices of the bridge's ports, ascending.
  let ports: UnsafeMutablePointer<UInt16>
  let portCount: Int
  let forwardsReserved: Bool
}

/// One receive queue of one port, as its poll thread works it.
struct ReceiveQueue {
  let io: PortIO
  let port: UInt16
  let queue: Int
  let counters: PortCounters
  let work: WorkCounters
}

/// A poll thread's receive queues: first those that are looked at every turn, then those received by system calls.
struct QueueList {
  let all: UnsafeMutableBufferPointer<ReceiveQueue>
  /// How many come first.
  let polledCount: Int
}

/// Everything a poll thread reads; immutable.
struct View: ~Copyable {
  /// Counts views, from 1.
  let generation: UInt64
  /// Indexed by port index; nil where there is none.
  let ports: UnsafeMutablePointer<PortEntry?>
  let portLimit: Int
  let bridges: UnsafeMutablePointer<BridgeEntry?>
  let bridgeLimit: Int
  /// Per thread.
  let queues: UnsafeMutablePointer<QueueList>
  let threadCount: Int
  /// Per port index: where its first receive queue is in `places`; one more than there are ports.
  private let firstPlace: UnsafeMutablePointer<Int32>
  /// Per receive queue of every port: its position in its thread's list, negative while nobody polls it.
  private let places: UnsafeMutablePointer<Int32>

  /// Port `index` (any number), or nil where there is none.
  // SAFETY: an Optional's payload lies at its beginning; entries live as long as the view.
  @inline(__always)
  func port(_ index: Int) -> UnsafePointer<PortEntry>? {
    guard UInt(bitPattern: index) < UInt(bitPattern: portLimit), ports[index] != nil else { return nil }
    return UnsafeRawPointer(ports + index).assumingMemoryBound(to: PortEntry.self)
  }

  struct BridgeSource {
    let index: Int
    let macTable: UnsafeMutablePointer<MACTable>
    let flows: UnsafeMutablePointer<BridgeFlows>
    let forwardsReserved: Bool
  }

  /// - Parameters:
  ///   - states: by port index, nil where there is none to show.
  ///   - isInterim: whether to keep apart the threads that still work by the view before (see above).
  // SAFETY: every index below comes from the counts the memory was allocated by.
  init(
    ports states: [PortState?], bridges bridgeSources: [BridgeSource], threadCount: Int, generation: UInt64,
    isInterim: Bool
  ) {
    self.generation = generation
    self.threadCount = threadCount
    portLimit = states.count
    bridgeLimit = (bridgeSources.map(\.index).max() ?? -1) + 1
    ports = .allocate(capacity: max(portLimit, 1))
    bridges = .allocate(capacity: max(bridgeLimit, 1))
    bridges.initialize(repeating: nil, count: max(bridgeLimit, 1))
    queues = .allocate(capacity: threadCount)
    firstPlace = .allocate(capacity: portLimit + 1)

    let census = Census(states, bridgeLimit: bridgeLimit, threadCount: threadCount, isInterim: isInterim)
    places = .allocate(capacity: max(census.places, 1))
    for source in bridgeSources {
      bridges[source.index] = BridgeEntry(
        index: source.index, macTable: source.macTable, flows: source.flows,
        ports: .allocate(capacity: max(census.members[source.index], 1)),
        portCount: census.members[source.index], forwardsReserved: source.forwardsReserved)
    }
    for thread in 0..<threadCount {
      let total = census.polled[thread] + census.bySystemCall[thread]
      (queues + thread).initialize(
        to: QueueList(all: .allocate(capacity: total), polledCount: census.polled[thread]))
    }
    fill(states, isInterim: isInterim)
  }

  /// How much room a view needs.
  private struct Census {
    var members: [Int]
    var polled: [Int]
    var bySystemCall: [Int]
    var places = 0

    init(_ states: [PortState?], bridgeLimit: Int, threadCount: Int, isInterim: Bool) {
      members = [Int](repeating: 0, count: bridgeLimit)
      polled = [Int](repeating: 0, count: threadCount)
      bySystemCall = polled
      for case let state? in states {
        members[state.bridge] += 1
        places += state.queues.count
        let bySystemCall = state.port.io.receivesBySystemCall
        for queue in state.queues where queue.isShown(isInterim: isInterim) {
          if bySystemCall { self.bySystemCall[queue.thread] += 1 } else { polled[queue.thread] += 1 }
        }
      }
    }
  }

  private func fill(_ states: [PortState?], isInterim: Bool) {
    var members = [Int](repeating: 0, count: bridgeLimit)
    var nextPolled = [Int](repeating: 0, count: threadCount)
    var nextBySystemCall = (0..<threadCount).map { queues[$0].polledCount }
    var place = 0
    for (index, state) in states.enumerated() {
      firstPlace[index] = Int32(place)
      guard let state else {
        (ports + index).initialize(to: nil)
        continue
      }
      let entry = state.entry(isInterim: isInterim)
      (ports + index).initialize(to: entry)
      bridges[state.bridge]!.ports[members[state.bridge]] = state.index
      members[state.bridge] += 1
      let bySystemCall = entry.io.receivesBySystemCall
      for (number, queue) in state.queues.enumerated() {
        places[place] = -1
        if queue.isShown(isInterim: isInterim) {
          let position = bySystemCall ? nextBySystemCall[queue.thread] : nextPolled[queue.thread]
          if bySystemCall { nextBySystemCall[queue.thread] += 1 } else { nextPolled[queue.thread] += 1 }
          places[place] = Int32(position)
          (queues[queue.thread].all.baseAddress! + position).initialize(
            to: ReceiveQueue(
              io: entry.io, port: state.index, queue: number,
              counters: entry.slot.pointee.counters[queue.thread], work: queue.work))
        }
        place += 1
      }
    }
    firstPlace[portLimit] = Int32(place)
  }

  /// Where receive queue `queue` of `port` is in the list of `thread`; nil if it is not.
  // SAFETY: `firstPlace` bounds a port's places, and a position is checked against the thread's own list.
  func position(port: UInt16, queue: Int, thread: Int) -> Int? {
    guard Int(port) < portLimit else { return nil }
    let place = Int(firstPlace[Int(port)]) + queue
    guard queue >= 0, place < Int(firstPlace[Int(port) + 1]) else { return nil }
    let position = Int(places[place])
    let list = queues[thread].all
    guard position >= 0, position < list.count, list[position].port == port, list[position].queue == queue
    else { return nil }
    return position
  }

  // SAFETY: freed by the control thread only, after every poll thread has passed a quiescent point.
  deinit {
    for index in 0..<bridgeLimit { bridges[index]?.ports.deallocate() }
    for thread in 0..<threadCount { queues[thread].all.deallocate() }
    ports.deallocate()
    bridges.deallocate()
    queues.deallocate()
    firstPlace.deallocate()
    places.deallocate()
  }
}
