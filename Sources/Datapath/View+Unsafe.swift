// What poll threads see of the configuration
// ==========================================
//
// The control thread never alters anything a poll thread reads. It builds a new View, publishes the pointer, wakes
// sleeping threads, synchronises, and frees the old one. A poll thread loads the pointer once a turn. So a change
// costs the packet path nothing, and a port that a change does not concern never notices: its rings and counters
// live in its PortSlot and PortIO, which old and new views both point to.

import Packet
import Ports
import Synchronization

/// What of a port outlives views: its transmit locks and its counters.
struct PortSlot: ~Copyable {
  let index: UInt16
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
  /// As many as are used: at most one per poll thread, which then needs no lock.
  let transmitQueues: Int32
  /// The longest frame to send, without tag; Int32.max where the port sets no limit.
  let longestFrame: Int32
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
  let macTable: UnsafeMutablePointer<MACTable>
  /// Indices of the bridge's ports, ascending.
  let ports: UnsafeMutablePointer<UInt16>
  let portCount: Int
  let forwardsReserved: Bool
}

/// One receive queue of one port, as its poll thread works it. Only that thread writes `ready`.
struct ReceiveQueue {
  let io: PortIO
  let port: UInt16
  let queue: Int
  let counters: PortCounters
  let bySystemCall: Bool
  /// For queues received by system calls: epoll said so, or it has not been asked yet.
  var ready = true
}

/// Everything a poll thread reads, immutable but for `ReceiveQueue.ready`.
struct View: ~Copyable {
  /// Counts views, from 1.
  let generation: UInt64
  /// Indexed by port index; nil where there is none.
  let ports: UnsafeMutablePointer<PortEntry?>
  let portLimit: Int
  let bridges: UnsafeMutablePointer<BridgeEntry?>
  let bridgeLimit: Int
  /// Per thread: its queues, those of one port side by side.
  let queues: UnsafeMutablePointer<UnsafeMutableBufferPointer<ReceiveQueue>>
  let threadCount: Int
  private let bitmaps: [UnsafeMutablePointer<UInt64>]

  /// What the control thread knows of a port, to make an entry of.
  struct PortSource {
    let index: UInt16
    let io: PortIO
    let slot: UnsafeMutablePointer<PortSlot>
    let bridge: Int
    let mtu: Int?
    let vlan: VLANConfiguration
    let transmitQueues: Int
    /// The poll thread of each receive queue.
    let threads: [Int]
  }

  struct BridgeSource {
    let index: Int
    let macTable: UnsafeMutablePointer<MACTable>
    let forwardsReserved: Bool
  }

  init(
    ports sources: [PortSource], bridges bridgeSources: [BridgeSource], threadCount: Int, generation: UInt64
  ) {
    self.generation = generation
    self.threadCount = threadCount
    portLimit = (sources.map { Int($0.index) }.max() ?? -1) + 1
    bridgeLimit = (bridgeSources.map(\.index).max() ?? -1) + 1
    ports = .allocate(capacity: max(portLimit, 1))
    ports.initialize(repeating: nil, count: max(portLimit, 1))
    bridges = .allocate(capacity: max(bridgeLimit, 1))
    bridges.initialize(repeating: nil, count: max(bridgeLimit, 1))
    queues = .allocate(capacity: threadCount)

    var bitmaps: [UnsafeMutablePointer<UInt64>] = []
    var members = [[UInt16]](repeating: [], count: bridgeLimit)
    var assigned = [[ReceiveQueue]](repeating: [], count: threadCount)
    for source in sources.sorted(by: { $0.index < $1.index }) {
      var bitmap: UnsafeMutablePointer<UInt64>?
      if !source.vlan.trunks.isEmpty {
        bitmap = Self.makeBitmap(source.vlan.trunks)
        bitmaps.append(bitmap!)
      }
      let vlan = PortVLAN(mode: source.vlan.mode, tag: UInt16(source.vlan.tag), trunks: bitmap)
      let longest = source.mtu.map { Int32(clamping: $0 + 14) } ?? .max
      ports[Int(source.index)] = PortEntry(
        io: source.io, slot: source.slot, bridge: Int32(source.bridge),
        transmitQueues: Int32(min(max(source.transmitQueues, 1), threadCount)), longestFrame: longest,
        vlan: vlan)
      members[source.bridge].append(source.index)
      for (queue, thread) in source.threads.enumerated() {
        assigned[thread].append(
          ReceiveQueue(
            io: source.io, port: source.index, queue: queue, counters: source.slot.pointee.counters[thread],
            bySystemCall: source.io.receivesBySystemCall))
      }
    }
    for source in bridgeSources {
      let list = members[source.index]
      let pointer = UnsafeMutablePointer<UInt16>.allocate(capacity: max(list.count, 1))
      for (position, port) in list.enumerated() { pointer[position] = port }
      bridges[source.index] = BridgeEntry(
        macTable: source.macTable, ports: pointer, portCount: list.count,
        forwardsReserved: source.forwardsReserved)
    }
    for thread in 0..<threadCount {
      let buffer = UnsafeMutableBufferPointer<ReceiveQueue>.allocate(capacity: assigned[thread].count)
      _ = buffer.initialize(from: assigned[thread])
      (queues + thread).initialize(to: buffer)
    }
    self.bitmaps = bitmaps
  }

  // SAFETY: freed by the control thread only, after every poll thread has passed a quiescent point.
  deinit {
    for index in 0..<bridgeLimit { bridges[index]?.ports.deallocate() }
    for thread in 0..<threadCount { queues[thread].deallocate() }
    for bitmap in bitmaps { bitmap.deallocate() }
    ports.deallocate()
    bridges.deallocate()
    queues.deallocate()
  }

  private static func makeBitmap(_ vlans: Set<Int>) -> UnsafeMutablePointer<UInt64> {
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: 64)
    words.initialize(repeating: 0, count: 64)
    for vlan in vlans where (0..<4096).contains(vlan) { words[vlan >> 6] |= 1 << UInt64(vlan & 63) }
    return words
  }
}
