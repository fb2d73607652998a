import Flow
import Linux
import Packet
import Ports

/// A bridge's MAC table behind a pointer that views share.
struct MACTableReference {
  let pointer: UnsafeMutablePointer<MACTable>

  init(capacity: Int) {
    pointer = .allocate(capacity: 1)
    pointer.initialize(to: MACTable(capacity: capacity))
  }

  // SAFETY: called once no view holds the pointer.
  func free() {
    pointer.deinitialize(count: 1)
    pointer.deallocate()
  }

  func entries() -> [MACTable.Entry] { pointer.pointee.entries() }
  func adopt(_ entries: [MACTable.Entry]) { pointer.pointee.adopt(entries) }
  /// The port behind an address, or nil.
  func lookup(_ address: MACAddress, vlan: Int) -> Int? {
    let found = pointer.pointee.lookup(MACTable.key(address.bits, vlan: vlan))
    return found < 0 ? nil : found
  }
  func flush(port: UInt16) { pointer.pointee.flush(port: port) }
  func flushAll() { pointer.pointee.flushAll() }
  func expire(olderThan seconds: UInt32, now: UInt32) { pointer.pointee.expire(olderThan: seconds, now: now) }
}

/// What the control thread knows of a bridge.
final class BridgeState {
  let name: String
  private(set) var settings: BridgeSettings
  private(set) var table: MACTableReference
  /// The bridge's flows, and where poll threads find them.
  let pipeline: FlowPipeline
  private let flows: UnsafeMutablePointer<BridgeFlows>

  /// - Parameters:
  ///   - clock: milliseconds of the switch's clock.
  ///   - synchronize: returns once every poll thread has begun a new turn.
  // SAFETY: `flows` outlives the pipeline's last publication, and every view.
  init(
    name: String, settings: BridgeSettings, clock: @escaping () -> UInt64, synchronize: @escaping () -> Void
  ) {
    self.name = name
    self.settings = settings
    table = MACTableReference(capacity: settings.macTableSize)
    let flows = UnsafeMutablePointer<BridgeFlows>.allocate(capacity: 1)
    flows.initialize(to: BridgeFlows())
    self.flows = flows
    func publish(_ tables: FlowTables) {
      flows.pointee.publish(tables.isNormalOnly ? nil : tables, synchronize: synchronize)
    }
    pipeline = FlowPipeline(startsWithNormal: settings.startsWithNormal, clock: clock, publish: publish)
    publish(pipeline.active)
    limitTables()
  }

  private func limitTables() {
    for table in UInt8(0)..<255 {
      let limit = settings.flowLimits[table]
      pipeline.setLimit(table: table, limit?.count, evicts: limit?.evicts ?? false)
    }
  }

  // SAFETY: called once no view shows the bridge.
  func free() {
    table.free()
    flows.pointee.publish(nil, synchronize: {})
    flows.deinitialize(count: 1)
    flows.deallocate()
  }

  /// Returns the table to free once the change is published, if it was replaced.
  func configure(_ settings: BridgeSettings) -> MACTableReference? {
    let resized = settings.macTableSize != self.settings.macTableSize
    if settings.startsWithNormal != self.settings.startsWithNormal {
      pipeline.reset(startsWithNormal: settings.startsWithNormal)
    }
    self.settings = settings
    limitTables()
    guard resized else { return nil }
    let old = table
    table = MACTableReference(capacity: settings.macTableSize)
    table.adopt(old.entries())
    return old
  }

  func source(_ index: Int) -> View.BridgeSource {
    View.BridgeSource(
      index: index, macTable: table.pointer, flows: flows, forwardsReserved: settings.forwardsReserved)
  }
}

/// What the control thread knows of a port.
final class PortState {
  let port: any Port
  let index: UInt16
  let bridge: Int
  private(set) var vlan: VLANConfiguration
  /// The OpenFlow number.
  var number: UInt16
  /// The processor each receive queue is asked to be polled on, by queue.
  var affinity: [Int: Int]
  private var stormLimit: StormLimit?
  /// False while `Port.start` runs: the port is in no view yet.
  var isStarted = false
  /// The MTU the current view enforces.
  var mtu: Int?
  /// What the port said it has.
  var transmitQueues = 1
  /// Whether flows take its link for up.
  var shownLive = false
  /// The port's receive queues.
  var queues: [QueueState] = []
  /// What to sleep on, per queue.
  var descriptors: [Int: (descriptor: Int32, edgeTriggered: Bool)] = [:]

  private var slot: UnsafeMutablePointer<PortSlot>
  /// The VLANs of a trunk, as `PortVLAN` has them.
  private var trunks: UnsafeMutablePointer<UInt64>?
  private var retired = PortStatistics()
  /// Of the newest view; nil when the port is in none.
  private var shownTransmitQueues: Int?

  init(
    _ port: any Port, index: UInt16, bridge: Int, number: UInt16, vlan: VLANConfiguration,
    affinity: [Int: Int],
    threadCount: Int
  ) {
    self.port = port
    self.index = index
    self.bridge = bridge
    self.number = number
    self.vlan = vlan
    self.affinity = affinity
    trunks = Self.bitmap(vlan.trunks)
    slot = .allocate(capacity: 1)
    slot.initialize(to: PortSlot(index: index, threadCount: threadCount))
  }

  /// Everything counted since the port was made.
  var statistics: PortStatistics {
    var sum = counted
    sum.add(.missed, port.missedFrames)
    if let counters = port.controlCounters { sum.add(counters) }
    return sum
  }

  /// By poll threads, those of the past included.
  private var counted: PortStatistics {
    var sum = retired
    for thread in 0..<slot.pointee.threadCount { sum.add(slot.pointee.counters[thread]) }
    return sum
  }

  // MARK: What views show

  /// Whether threads working by the newest view and by one made now would disturb each other.
  var needsInterim: Bool {
    if let shownTransmitQueues, shownTransmitQueues != usedTransmitQueues,
      max(shownTransmitQueues, usedTransmitQueues) == slot.pointee.threadCount
    {
      return true
    }
    return queues.contains { $0.shownThread != nil && $0.shownThread != $0.thread }
  }

  func entry(isInterim: Bool) -> PortEntry {
    let threads = slot.pointee.threadCount
    var used = usedTransmitQueues
    var locks = used != threads
    if isInterim, let shownTransmitQueues, shownTransmitQueues != used {
      used = max(used, shownTransmitQueues)
      locks = true
    }
    return PortEntry(
      io: port.io, slot: slot, bridge: Int32(bridge), number: number, transmitQueues: Int32(used),
      longestFrame: mtu.map { Int32(clamping: $0 + 14) } ?? .max, locksTransmit: locks,
      vlan: PortVLAN(mode: vlan.mode, tag: UInt16(vlan.tag), trunks: trunks))
  }

  private var usedTransmitQueues: Int { min(max(transmitQueues, 1), slot.pointee.threadCount) }

  /// A view with the port as it is was published.
  func noteShown() {
    shownTransmitQueues = usedTransmitQueues
    for index in queues.indices { queues[index].shownThread = queues[index].thread }
  }

  // MARK: Changes

  /// Returns what to do once no view shows the old setting.
  func configure(_ vlan: VLANConfiguration) -> () -> Void {
    let old = trunks
    self.vlan = vlan
    trunks = Self.bitmap(vlan.trunks)
    return { old?.deallocate() }
  }

  /// At once: views have no part in it. Nothing happens to the bucket if the limit is the same.
  func configure(_ limit: StormLimit?) {
    guard limit != stormLimit else { return }
    stormLimit = limit
    applyStormLimit()
  }

  private func applyStormLimit() {
    slot.pointee.storm.set(stormLimit, cyclesPerSecond: TSCClock.shared.cyclesPerSecond)
  }

  /// After the poll threads were stopped: keeps what they had counted, and makes counters for new ones.
  func changeThreads(to count: Int) {
    retired = counted
    freeSlot()
    slot = .allocate(capacity: 1)
    slot.initialize(to: PortSlot(index: index, threadCount: count))
    applyStormLimit()
    shownTransmitQueues = nil
    for index in queues.indices { queues[index].shownThread = nil }
  }

  // SAFETY: called once no view holds the pointers.
  func free() {
    freeSlot()
    trunks?.deallocate()
    for queue in queues { queue.work.deallocate() }
  }

  private func freeSlot() {
    slot.deinitialize(count: 1)
    slot.deallocate()
  }

  private static func bitmap(_ vlans: Set<Int>) -> UnsafeMutablePointer<UInt64>? {
    if vlans.isEmpty { return nil }
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: 64)
    words.initialize(repeating: 0, count: 64)
    for vlan in vlans where (0..<4096).contains(vlan) { words[vlan >> 6] |= 1 << UInt64(vlan & 63) }
    return words
  }
}

/// What the control thread knows of a receive queue.
struct QueueState {
  /// The poll thread it belongs to, and whether by affinity.
  var thread: Int
  var isPinned: Bool
  /// The thread that polls it by the newest view; nil when none does.
  var shownThread: Int?
  let work: WorkCounters
  var history: WorkHistory

  init(thread: Int, isPinned: Bool, at time: UInt64) {
    self.thread = thread
    self.isPinned = isPinned
    work = WorkCounters()
    history = WorkHistory(work, at: time)
  }

  /// An interim view has no queue that moves.
  func isShown(isInterim: Bool) -> Bool { !isInterim || shownThread == nil || shownThread == thread }
}
