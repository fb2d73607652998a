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
  func flush(port: UInt16) { pointer.pointee.flush(port: port) }
  func flushAll() { pointer.pointee.flushAll() }
  func expire(olderThan seconds: UInt32, now: UInt32) { pointer.pointee.expire(olderThan: seconds, now: now) }
}

/// What the control thread knows of a bridge.
final class BridgeState {
  let name: String
  private(set) var settings: BridgeSettings
  private(set) var table: MACTableReference

  init(name: String, settings: BridgeSettings) {
    self.name = name
    self.settings = settings
    table = MACTableReference(capacity: settings.macTableSize)
  }

  /// Returns the table to free once the change is published, if it was replaced.
  func configure(_ settings: BridgeSettings) -> MACTableReference? {
    let resized = settings.macTableSize != self.settings.macTableSize
    self.settings = settings
    guard resized else { return nil }
    let old = table
    table = MACTableReference(capacity: settings.macTableSize)
    table.adopt(old.entries())
    return old
  }

  func source(_ index: Int) -> View.BridgeSource {
    View.BridgeSource(index: index, macTable: table.pointer, forwardsReserved: settings.forwardsReserved)
  }
}

/// What the control thread knows of a port.
final class PortState {
  let port: any Port
  let index: UInt16
  let bridge: Int
  var vlan: VLANConfiguration
  /// False while `Port.start` runs: the port is in no view yet.
  var isStarted = false
  /// The MTU the current view enforces.
  var mtu: Int?
  /// The transmit queues the current view uses.
  var transmitQueues = 1
  /// The poll thread of each receive queue.
  var threads: [Int] = []
  /// What to sleep on, per queue.
  var descriptors: [Int: (descriptor: Int32, edgeTriggered: Bool)] = [:]
  private var slot: UnsafeMutablePointer<PortSlot>
  private var retired = PortStatistics()

  init(_ port: any Port, index: UInt16, bridge: Int, vlan: VLANConfiguration, threadCount: Int) {
    self.port = port
    self.index = index
    self.bridge = bridge
    self.vlan = vlan
    slot = .allocate(capacity: 1)
    slot.initialize(to: PortSlot(index: index, threadCount: threadCount))
  }

  /// Everything counted since the port was made.
  var statistics: PortStatistics {
    var sum = retired
    for thread in 0..<slot.pointee.threadCount { sum.add(slot.pointee.counters[thread]) }
    return sum
  }

  var source: View.PortSource {
    View.PortSource(
      index: index, io: port.io, slot: slot, bridge: bridge, mtu: mtu, vlan: vlan,
      transmitQueues: transmitQueues, threads: threads)
  }

  /// Keeps what the threads that were stopped had counted.
  func retireCounters() {
    retired = statistics
    free()
  }

  /// After `retireCounters`: counters for new threads.
  func makeSlot(threadCount: Int) {
    slot = .allocate(capacity: 1)
    slot.initialize(to: PortSlot(index: index, threadCount: threadCount))
    threads.removeAll()
  }

  // SAFETY: called once no view holds the pointer.
  func free() {
    slot.deinitialize(count: 1)
    slot.deallocate()
  }
}
