// The pipeline
// ============
//
// What happens to a burst between the port it came from and the ports it goes to. Policy first:
//
//  1. *Admit.* Runts, frames from group addresses and inconsistent offload requests are dropped. The frame's VLAN
//     comes from its tag or the port's; a VLAN the port does not carry is dropped. From here on a frame belongs to
//     one VLAN, and its header says tagged or untagged, never "priority-tagged".
//  2. *Learn.* The source is behind this port.
//  3. *Decide.* A known destination is one port; an unknown or group destination is every port of the bridge that
//     carries the VLAN. Never the port it came from.
//  4. *Fit.* Toward each output: tag pushed or popped as that port wants it; MTU; offloads it cannot take are done in
//     software.
//  5. *Send.* Each output is entered once, with all of the burst's frames for it.
//
// That is what the flow NORMAL means. A bridge that holds other flows decides by them (Flows/Pipeline+Flows), and comes
// back here where they say NORMAL; a bridge that holds no other goes straight to the MAC table.

import CLinux
import Flow
import Linux
import Packet
import Ports
import Synchronization

/// One poll thread's forwarding state.
struct Pipeline: ~Copyable {
  let thread: Int
  var batch = Batch()
  var outputs = Outputs()
  private var headers = HeaderArena(capacity: 2048)
  /// Per frame of the burst and form of it: the item with the other tagging, 0 when not made yet.
  let retagged: UnsafeMutablePointer<UInt16>
  /// Seconds since the datapath started; what the MAC table ages by.
  var now: UInt32 = 0
  let clock = TSCClock.shared
  /// When this turn began, in cycles.
  var turnBegan: UInt64 = 0
  var flows: FlowScratch

  init(thread: Int, learned: LearnedFlows) {
    self.thread = thread
    flows = FlowScratch(learned: learned)
    retagged = .allocate(capacity: Outputs.reservedItems)
    retagged.initialize(repeating: 0, count: Outputs.reservedItems)
  }

  deinit { retagged.deallocate() }

  /// Moves one burst from `queue` to wherever it goes; returns its frames.
  // SAFETY: `view` is the one loaded at the beginning of this turn and stays until the next; the queue is this
  // thread's.
  @inline(__always)
  mutating func forward(_ queue: UnsafePointer<ReceiveQueue>, _ view: borrowing View) -> Int {
    let source = queue.pointee
    batch.clear()
    let received = source.io.receive(queue: source.queue, into: &batch, source.counters)
    if received == 0 { return 0 }
    if let port = view.port(Int(source.port)) {
      let bridge = view.bridges[Int(port.pointee.bridge)]!
      if let flows = bridge.flows.pointee.current {
        classifyByFlows(from: source, port, bridge, flows, view)
      } else {
        classify(from: source, port, bridge, view)
      }
      sendAll(view)
    }
    source.io.release(queue: source.queue, batch, source.counters)
    return received
  }

  // MARK: Admit, learn, decide

  /// Lists every frame of the burst for the ports it goes to.
  ///
  /// Frames come in trains: one sender's segments, one flow's datagrams. What was decided for a frame holds for the next
  /// one with the same addresses, type and tag, as long as neither has to be altered.
  private mutating func classify(
    from source: ReceiveQueue, _ port: UnsafePointer<PortEntry>, _ bridge: BridgeEntry, _ view: borrowing View
  ) {
    if bridge.macTable.pointee.isLarge { prefetchAddresses(port, bridge.macTable) }
    var train = Train()
    for index in 0..<batch.count {
      describe(index)
      let words = outputs.items[index].header.loadUnaligned(as: SIMD2<UInt64>.self)
      if words == train.words && isPlain(index) && outputs.items[index].length <= train.longestFrame {
        list(index, for: train.output, view)
        continue
      }
      retagged[index] = 0
      train.longestFrame = 0
      guard isAcceptable(index, source.counters), let frame = admit(index, port, source.counters) else {
        continue
      }
      let output = decide(index, frame, from: Int(source.port), bridge, source.counters, view)
      if output < 0 { continue }
      let entry = view.port(output)!
      if isPlain(index) && (frame.vlan == 0 || entry.pointee.vlan.tags(frame.vlan) == frame.isTagged) {
        train = Train(words: words, output: output, longestFrame: Int(entry.pointee.longestFrame))
      }
      add(index, frame, to: output, entry, source.counters, view)
    }
  }

  /// What was decided for a frame whose first 16 bytes, as two words, are `words`.
  private struct Train {
    var words = SIMD2<UInt64>.zero
    var output = 0
    /// 0: nothing was decided.
    var longestFrame = 0
  }

  /// Frame `index` as an item.
  @inline(__always)
  func describe(_ index: Int) {
    let frame = batch.frames + index
    let headerLength = frame.pointee.headerLength
    outputs.items[index] = Outgoing(
      header: frame.pointee.header, headerLength: headerLength, frame: UInt32(truncatingIfNeeded: index),
      sourceOffset: headerLength, sourceLength: frame.pointee.length &- headerLength,
      offload: frame.pointee.offload, body: frame.pointee.body)
  }

  /// Nothing is left to do for the frame, and its snapshot is full.
  @inline(__always)
  func isPlain(_ index: Int) -> Bool {
    outputs.items[index].offload.isNone && Int(outputs.items[index].headerLength) == Frame.snapshotLength
  }

  /// Fetches what the burst's addresses are found by, so that it waits for memory once.
  @inline(never)
  private mutating func prefetchAddresses(
    _ port: UnsafePointer<PortEntry>, _ table: UnsafeMutablePointer<MACTable>
  ) {
    // Right for untagged frames; a tagged one only loses the head start.
    let vlan = max(0, port.pointee.vlan.admit(0))
    for index in 0..<batch.count {
      let header = UnsafeRawPointer(batch.frames[index].header)
      table.pointee.prefetch(MACTable.key(header.address(at: 6), vlan: vlan))
      table.pointee.prefetch(MACTable.key(header.address(at: 0), vlan: vlan))
    }
  }

  /// Learns the source, and returns the one port an item goes to; or -1 when it was dropped, or listed for several.
  @inline(__always)
  mutating func decide(
    _ item: Int, _ frame: Admitted, from source: Int, _ bridge: BridgeEntry, _ counters: PortCounters,
    _ view: borrowing View
  ) -> Int {
    let header = outputs.items[item].header
    let sourceAddress = header.address(at: 6)
    let destination = header.address(at: 0)
    guard sourceAddress >> 40 & 1 == 0 else {
      counters.drop(.badSource)
      return -1
    }
    bridge.macTable.pointee.learn(
      MACTable.key(sourceAddress, vlan: frame.vlan), port: UInt16(truncatingIfNeeded: source), now: now)
    if destination >> 40 & 1 == 0 {
      let output = bridge.macTable.pointee.lookup(MACTable.key(destination, vlan: frame.vlan))
      if let entry = view.port(output), Int(entry.pointee.bridge) == bridge.index {
        if output != source && entry.pointee.vlan.carries(frame.vlan) { return output }
        counters.drop(.noOutput)
        return -1
      }
    } else if destination & ~0xF == 0x0180_C200_0000 && !bridge.forwardsReserved {
      counters.drop(.reservedAddress)
      return -1
    }
    flood(item, frame, from: source, bridge, counters, view)
    return -1
  }

  /// A frame's place in the bridge: its VLAN, and whether its header carries a tag.
  struct Admitted {
    let vlan: Int
    let isTagged: Bool
    /// TPID and priority of a tag that is put on: those of the priority tag that was taken off.
    var tag: UInt32 = 0x8100_0000
  }

  /// Whether frame `index` is one at all. If not, it is counted.
  @inline(__always)
  func isAcceptable(_ index: Int, _ counters: PortCounters) -> Bool {
    let frame = batch.frames + index
    guard frame.pointee.headerLength >= 14 else {
      counters.drop(.runt)
      return false
    }
    if !frame.pointee.offload.isNone && !SoftwareOffload.isConsistent(frame.pointee) {
      counters.drop(.badOffload)
      return false
    }
    return true
  }

  /// The VLAN of an item that comes in by `port`; nil when it was dropped.
  @inline(__always)
  mutating func admit(_ item: Int, _ port: UnsafePointer<PortEntry>, _ counters: PortCounters) -> Admitted? {
    let type = outputs.items[item].header.networkUInt16(at: 12)
    guard type == 0x8100 || type == 0x88A8 else {
      if port.pointee.vlan.isTransparent { return Admitted(vlan: 0, isTagged: false) }
      let vlan = port.pointee.vlan.admit(0)
      if vlan >= 0 { return Admitted(vlan: vlan, isTagged: false) }
      counters.drop(.vlanNotAllowed)
      return nil
    }
    return admitTagged(item, port, counters)
  }

  private mutating func admitTagged(
    _ item: Int, _ port: UnsafePointer<PortEntry>, _ counters: PortCounters
  ) -> Admitted? {
    guard outputs.items[item].headerLength >= 18 else {
      counters.drop(.runt)
      return nil
    }
    let header = outputs.items[item].header
    let tci = Int(header.networkUInt16(at: 14))
    let tag = tci & 0xFFF
    let vlan = port.pointee.vlan.admit(tag)
    guard vlan >= 0 else {
      counters.drop(.vlanNotAllowed)
      return nil
    }
    // Where there is no VLAN to name, a priority tag stays if it says something.
    let priority = UInt32(truncatingIfNeeded: tci & 0xE000)
    if tag != 0 || (vlan == 0 && priority != 0) { return Admitted(vlan: vlan, isTagged: true) }
    let type = UInt32(header.networkUInt16(at: 12))
    // Otherwise the frame goes on without it. The header is this burst's own, so it moves in place.
    let moved = UnsafeMutableRawPointer(mutating: header) + 4
    memmove(moved, header, 12)
    outputs.items[item].header = UnsafeRawPointer(moved)
    outputs.items[item].headerLength &-= 4
    outputs.items[item].offload = outputs.items[item].offload.shifted(by: -4)
    return Admitted(vlan: vlan, isTagged: false, tag: type << 16 | priority)
  }

  @inline(never)
  private mutating func flood(
    _ index: Int, _ frame: Admitted, from source: Int, _ bridge: BridgeEntry, _ counters: PortCounters,
    _ view: borrowing View
  ) {
    guard view.ports[source]?.slot.pointee.storm.admits() ?? false else { return counters.drop(.stormLimit) }
    var copies = 0
    for position in 0..<bridge.portCount {
      let output = Int(bridge.ports[position])
      guard output != source, let entry = view.port(output), entry.pointee.vlan.carries(frame.vlan) else {
        continue
      }
      add(index, frame, to: output, entry, counters, view)
      copies &+= 1
    }
    if copies == 0 { counters.drop(.noOutput) }
  }

  // MARK: Fit

  /// Lists frame `index` for `output`, in the form that port takes.
  @inline(__always)
  mutating func add(
    _ index: Int, _ frame: Admitted, to output: Int, _ entry: UnsafePointer<PortEntry>,
    _ sourceCounters: PortCounters,
    _ view: borrowing View
  ) {
    let offload = outputs.items[index].offload
    if !offload.isNone && !entry.pointee.io.accepts.take(offload, length: outputs.items[index].length) {
      return finish(index, frame, for: output, entry, sourceCounters, view)
    }
    var item = index
    if frame.vlan != 0 && entry.pointee.vlan.tags(frame.vlan) != frame.isTagged {
      item = retag(index, frame, view)
    }
    if outputs.items[item].length <= Int(entry.pointee.longestFrame) || fits(item, entry, sourceCounters) {
      list(item, for: output, view)
    }
  }

  /// Whether item `item`, which is longer than the longest untagged frame, is within the MTU all the same: because of
  /// its tags, or as segments. If not, it is counted.
  @inline(never)
  private mutating func fits(_ item: Int, _ entry: UnsafePointer<PortEntry>, _ sourceCounters: PortCounters)
    -> Bool
  {
    guard let length = SoftwareOffload.networkLength(outputs.items[item], in: batch) else {
      sourceCounters.drop(.badOffload)
      return false
    }
    if length &+ EthernetHeader.length <= Int(entry.pointee.longestFrame) { return true }
    entry.pointee.slot.pointee.counters[thread].drop(.exceedsMTU)
    return false
  }

  @inline(__always)
  mutating func list(_ item: Int, for output: Int, _ view: borrowing View) {
    if outputs.append(item, to: output) { send(output, view) }
  }

  /// The item holding frame `index` with a tag where it has none, or without the one it has.
  private mutating func retag(_ index: Int, _ frame: Admitted, _ view: borrowing View) -> Int {
    if retagged[index] != 0 { return Int(retagged[index]) }
    makeRoom(items: 1, view)
    let header = headers.take()
    var variant = outputs.items[index]
    let old = variant.header
    let length = Int(variant.headerLength)
    // SAFETY: a snapshot holds at least 14 bytes, 18 when tagged, and at most 64; an arena header has 256.
    header.copyMemory(from: old, byteCount: 12)
    if frame.isTagged {
      (header + 12).copyMemory(from: old + 16, byteCount: length &- 16)
      variant.headerLength &-= 4
      variant.offload = variant.offload.shifted(by: -4)
    } else {
      let tag = frame.tag | UInt32(truncatingIfNeeded: frame.vlan)
      (header + 12).storeBytes(of: tag.bigEndian, as: UInt32.self)
      (header + 16).copyMemory(from: old + 12, byteCount: length &- 12)
      variant.headerLength &+= 4
      variant.offload = variant.offload.shifted(by: 4)
    }
    variant.header = UnsafeRawPointer(header)
    let item = place(variant)
    retagged[index] = UInt16(truncatingIfNeeded: item)
    return item
  }

  /// Does in software what `output` cannot: checksums, segmentation.
  @inline(never)
  private mutating func finish(
    _ index: Int, _ frame: Admitted, for output: Int, _ entry: UnsafePointer<PortEntry>,
    _ sourceCounters: PortCounters,
    _ view: borrowing View
  ) {
    // Room for everything one frame can become, before any of it is made: making room forgets what was made.
    makeRoom(items: SoftwareOffload.maximumSegments + 1, view)
    var item = index
    if frame.vlan != 0 && entry.pointee.vlan.tags(frame.vlan) != frame.isTagged {
      item = retag(index, frame, view)
    }
    let first = outputs.itemCount
    var count = 0
    let items = outputs.items
    let whole = items[item]
    guard whole.length <= Int(entry.pointee.longestFrame) || fits(item, entry, sourceCounters) else { return }
    let outcome = SoftwareOffload.resolve(
      whole, in: batch, toward: entry.pointee.io.accepts, headers: &headers
    ) {
      segment in
      items[first &+ count] = segment
      count &+= 1
    }
    guard case .resolved = outcome else { return sourceCounters.drop(.badOffload) }
    outputs.itemCount = first &+ count
    for segment in first..<first &+ count { list(segment, for: output, view) }
  }

  private mutating func place(_ item: Outgoing) -> Int {
    let index = outputs.itemCount
    outputs.items[index] = item
    outputs.itemCount = index &+ 1
    return index
  }

  /// Sends what is listed if `count` more items or headers would not fit.
  @inline(__always)
  private mutating func makeRoom(items count: Int, _ view: borrowing View) {
    if outputs.itemCount &+ count > Outputs.itemCapacity || headers.remaining < count {
      sendAll(view)
      for item in 0..<Outputs.reservedItems { retagged[item] = 0 }
    }
  }

  // MARK: Send

  @inline(__always)
  mutating func sendAll(_ view: borrowing View) {
    for position in 0..<outputs.touchedCount { send(outputs.touchedPort(position), view) }
    outputs.reset()
    headers.reset()
  }

  /// Sends everything listed for `output`.
  // SAFETY: the lock makes this the only thread inside the transmit queue, or there is a queue for each thread.
  @inline(__always)
  private mutating func send(_ output: Int, _ view: borrowing View) {
    let list = outputs.list(output)
    if list.count == 0 { return }
    let entry = view.port(output)!
    let counters = entry.pointee.slot.pointee.counters[thread]
    if !entry.pointee.locksTransmit {
      entry.pointee.io.transmit(
        queue: thread, outputs.items, list.indices, count: list.count, from: batch, counters)
      entry.pointee.io.flush(queue: thread, counters)
    } else {
      let queue = thread % Int(entry.pointee.transmitQueues)
      let lock = entry.pointee.slot.pointee.transmitLock(queue)
      Self.acquire(lock)
      entry.pointee.io.transmit(
        queue: queue, outputs.items, list.indices, count: list.count, from: batch, counters)
      entry.pointee.io.flush(queue: queue, counters)
      lock.pointee.store(false, ordering: .releasing)
    }
    outputs.empty(output)
  }

  @inline(never)
  private static func acquire(_ lock: UnsafePointer<Atomic<Bool>>) {
    var attempts = 0
    while lock.pointee.exchange(true, ordering: .acquiring) {
      // Only looked at while it is taken, so that the holder keeps the cache line.
      while lock.pointee.load(ordering: .relaxed) {
        attempts &+= 1
        // The holder may have lost its processor; on a machine with fewer processors than threads, let it run.
        if attempts & 1023 == 0 { sched_yield() } else { cl_pause() }
      }
    }
  }
}

extension UnsafeRawPointer {
  // SAFETY: callers have checked that the header is long enough (14 bytes), and a snapshot's memory has 64.
  @inline(__always)
  fileprivate func networkUInt16(at offset: Int) -> UInt16 {
    UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  /// The six bytes at `offset` (0 or 6) as a number.
  @inline(__always)
  fileprivate func address(at offset: Int) -> UInt64 {
    offset == 0
      ? UInt64(bigEndian: loadUnaligned(fromByteOffset: 0, as: UInt64.self)) >> 16
      : UInt64(bigEndian: loadUnaligned(fromByteOffset: 4, as: UInt64.self)) & 0xFFFF_FFFF_FFFF
  }
}
