import CLinux
import Flow
import Linux
import Packet
import Ports

/// The switch itself, as the control thread sees it: bridges, ports, poll threads.
///
/// Every method is called from the control thread. A change is complete when the method returns, or, within `change`,
/// when that does: poll threads see it, and nothing of what it replaced is in use. Ports that a change does not concern
/// go on forwarding throughout.
public final class Datapath {
  /// A port's link, counters' names or addresses changed.
  public var onStatusChange: ((PortID) -> Void)?

  let loop: EventLoop
  let clock = TSCClock.shared
  var settings: PollSettings
  var threads: PollThreads
  var placement: QueuePlacement
  private(set) var bridges: [Int: BridgeState] = [:]
  /// By index, without gaps at the end.
  private(set) var ports: [PortState?] = []
  private var portCount = 0
  private var nextPort: UInt16 = 0
  /// Indices of ports that are gone, but not yet for every poll thread.
  private var leaving: Set<UInt16> = []
  private var generation: UInt64 = 0
  private var nextBridge = 0
  private var changeDepth = 0
  private var isChanged = false
  /// What to do once poll threads have gone over to the next view.
  private var afterPublishing: [() -> Void] = []
  private var secondTimer: EventLoop.Timer?
  /// Bridges whose flows do not know yet which ports there are.
  var portsChanged: Set<Int> = []
  /// What poll threads learn flows by.
  let learned: LearnedFlows
  var learnedWatch: EventLoop.Watch?
  /// Seconds since load was looked at for balancing.
  var secondsUnbalanced = 0

  public init(loop: EventLoop, settings: PollSettings = PollSettings()) throws(SystemError) {
    self.loop = loop
    self.settings = settings
    learned = try LearnedFlows()
    threads = try PollThreads(settings, learned: learned)
    placement = QueuePlacement(threadCount: threads.count, isolatesPinned: settings.isolatesPinned)
    threadHistories = []
    startHistories()
    scheduleSecond()
    watchLearnedFlows()
  }

  /// Load of each poll thread, for as long as it runs.
  var threadHistories: [WorkHistory]

  /// Ends all ports and threads. The datapath is unusable afterwards.
  public func stop() {
    secondTimer?.cancel()
    learnedWatch?.cancel()
    change {
      for case let state? in ports { removePort(PortID(index: state.index)) }
    }
    threads.stop()
  }

  /// Makes everything that `body` changes one change: poll threads go over to it once, when `body` has returned. Ports
  /// and bridges removed by it are closed then, and not before.
  public func change(_ body: () -> Void) {
    changeDepth += 1
    body()
    changeDepth -= 1
    if changeDepth == 0 && isChanged { publish() }
  }

  // MARK: Poll threads

  /// Replaces the poll threads if `settings` asks for others; forwarding pauses for as long as starting them takes.
  public func apply(_ settings: PollSettings) throws(SystemError) {
    guard settings != self.settings else { return }
    let old = self.settings
    if settings.cpus != old.cpus {
      let replacement = try PollThreads(settings, learned: learned)
      threads.stop()
      threads = replacement
      startHistories()
      for case let state? in ports { state.changeThreads(to: threads.count) }
    } else {
      threads.setIdleTime(microseconds: settings.idleMicroseconds)
    }
    self.settings = settings
    secondsUnbalanced = 0
    guard settings.cpus != old.cpus || settings.isolatesPinned != old.isolatesPinned else { return }
    placeAll(anew: settings.cpus != old.cpus)
    publish()
  }

  // MARK: Bridges

  public func addBridge(_ name: String, _ settings: BridgeSettings = BridgeSettings()) -> BridgeID {
    let id = BridgeID(index: nextBridge)
    nextBridge += 1
    bridges[id.index] = BridgeState(
      name: name, settings: settings, clock: { [clock] in clock.milliseconds(at: cl_tsc()) },
      synchronize: { [unowned self] in threads.synchronize() })
    publish()
    return id
  }

  /// Applies altered settings; learned addresses are kept as far as they fit.
  public func configureBridge(_ id: BridgeID, _ settings: BridgeSettings) {
    guard let bridge = bridges[id.index], bridge.settings != settings else { return }
    if let old = bridge.configure(settings) { whenUnused { old.free() } }
    publish()
  }

  /// Forgets a bridge, and the ports that are still on it.
  public func removeBridge(_ id: BridgeID) {
    change {
      for case let state? in ports where state.bridge == id.index { removePort(PortID(index: state.index)) }
      guard let bridge = bridges.removeValue(forKey: id.index) else { return }
      whenUnused { bridge.free() }
      publish()
    }
  }

  /// Learned addresses by VLAN and address.
  public func learnedAddresses(of id: BridgeID) -> [MACEntry] {
    guard let bridge = bridges[id.index] else { return [] }
    let now = clock.second(at: cl_tsc())
    return bridge.table.entries()
      .map { entry in
        let age = now >= entry.seen ? Int(now - entry.seen) : 0
        return MACEntry(port: PortID(index: entry.port), vlan: entry.vlan, address: entry.address, age: age)
      }
      .sorted { ($0.vlan, $0.address.bits) < ($1.vlan, $1.address.bits) }
  }

  /// Forgets the learned addresses of one bridge, or of all.
  public func flushAddresses(of id: BridgeID? = nil) {
    for (index, bridge) in bridges where id == nil || id?.index == index { bridge.table.flushAll() }
  }

  // MARK: Ports

  /// Starts `port` and connects it to `bridge`. On an error nothing has changed, and the port is closed.
  ///
  /// - Parameters:
  ///   - number: the port's OpenFlow number; its index + 1 unless given.
  ///   - affinity: the processors whose poll threads are to poll its receive queues, by queue
  ///   (`pmd-rxq-affinity`); a processor without a poll thread is ignored.
  public func addPort(
    _ port: any Port, to bridge: BridgeID, number: UInt16? = nil,
    vlan: VLANConfiguration = VLANConfiguration(),
    affinity: [Int: Int] = [:]
  ) throws(PortError) -> PortID {
    guard bridges[bridge.index] != nil else { throw PortError("\(port.name): its bridge does not exist") }
    guard let index = freeIndex() else {
      throw PortError("\(port.name): the switch has \(portCount) ports, and cannot have more")
    }
    let state = PortState(
      port, index: index, bridge: bridge.index, number: number ?? index &+ 1, vlan: vlan, affinity: affinity,
      threadCount: threads.count)
    insert(state)
    do {
      try port.start(environment(for: state))
    } catch {
      threads.unwatch(state)
      remove(state)
      port.close()
      state.free()
      throw error
    }
    state.isStarted = true
    adoptQueues(of: state)
    publish()
    return PortID(index: index)
  }

  public func setVLAN(_ vlan: VLANConfiguration, of id: PortID) {
    guard let state = state(id), state.vlan != vlan else { return }
    whenUnused(state.configure(vlan))
    whenUnused { [unowned self] in bridges[state.bridge]?.table.flush(port: id.index) }
    publish()
  }

  /// Bounds the frames of this port that are flooded: broadcast, multicast, and to unknown addresses.
  public func setStormLimit(_ limit: StormLimit?, of id: PortID) { state(id)?.configure(limit) }

  /// Has the receive queues polled by other threads (`pmd-rxq-affinity`; see `addPort`).
  public func setAffinity(_ affinity: [Int: Int], of id: PortID) {
    guard let state = state(id), state.affinity != affinity else { return }
    state.affinity = affinity
    placeAll(anew: false)
    publish()
  }

  /// Disconnects and closes a port; its learned addresses go with it.
  public func removePort(_ id: PortID) {
    guard let state = state(id) else { return }
    threads.unwatch(state)
    for queue in state.queues { placement.remove(from: queue.thread, pinned: queue.isPinned) }
    remove(state)
    leaving.insert(id.index)
    whenUnused { [unowned self] in
      bridges[state.bridge]?.table.flush(port: id.index)
      state.port.close()
      state.free()
      leaving.remove(id.index)
    }
    if state.queues.contains(where: \.isPinned) { placeAll(anew: false) }
    publish()
  }

  public func port(_ id: PortID) -> (any Port)? { state(id)?.port }

  /// Frames, bytes and drops since the port was added.
  public func statistics(of id: PortID) -> PortStatistics { state(id)?.statistics ?? PortStatistics() }

  // MARK: Ports by index

  func state(_ id: PortID) -> PortState? { Int(id.index) < ports.count ? ports[Int(id.index)] : nil }

  private func insert(_ state: PortState) {
    let index = Int(state.index)
    while ports.count <= index { ports.append(nil) }
    ports[index] = state
    portCount += 1
    portsChanged.insert(state.bridge)
  }

  private func remove(_ state: PortState) {
    ports[Int(state.index)] = nil
    portCount -= 1
    portsChanged.insert(state.bridge)
    while let last = ports.last, last == nil { ports.removeLast() }
  }

  /// The next unused index. One just freed is not used again soon; but poll threads keep memory for every index below
  /// the highest, so indices go round among twice as many as there are ports, and 256 at least.
  private func freeIndex() -> UInt16? {
    let used = portCount + leaving.count
    guard used < Int(UInt16.max) else { return nil }
    let window = UInt16(min(max(2 * used + 2, 256), Int(UInt16.max)))
    if nextPort >= window { nextPort = 0 }
    while state(PortID(index: nextPort)) != nil || leaving.contains(nextPort) { advance(within: window) }
    defer { advance(within: window) }
    return nextPort
  }

  private func advance(within window: UInt16) { nextPort = nextPort >= window - 1 ? 0 : nextPort + 1 }

  // MARK: What ports tell

  private func environment(for state: PortState) -> PortEnvironment {
    PortEnvironment(
      synchronize: { [unowned self] in threads.synchronize() },
      setWaitDescriptor: { [unowned self, unowned state] queue, descriptor, edgeTriggered in
        state.descriptors[queue] = descriptor.map { ($0, edgeTriggered) }
        watch(state, queue)
      },
      wake: { [unowned self] in threads.wake() },
      statusChanged: { [unowned self, unowned state] in statusChanged(state) })
  }

  private func statusChanged(_ state: PortState) {
    let id = PortID(index: state.index)
    guard state.isStarted, self.state(id) === state else { return }
    if state.port.status.mtu != state.mtu || state.port.receiveQueueCount != state.queues.count
      || state.port.transmitQueueCount != state.transmitQueues
    {
      adoptQueues(of: state)
      // Even within `change`: the port relies on it.
      publishNow()
    }
    if state.port.status.linkUp != state.shownLive {
      portsChanged.insert(state.bridge)
      showPorts()
    }
    onStatusChange?(id)
  }

  func watch(_ state: PortState, _ queue: Int) {
    let entry = queue < state.queues.count ? state.descriptors[queue] : nil
    threads.watch(
      port: state.index, queue: queue, descriptor: entry?.descriptor,
      edgeTriggered: entry?.edgeTriggered ?? false,
      thread: queue < state.queues.count ? state.queues[queue].thread : 0)
  }

  // MARK: Views

  /// Shows poll threads how things stand; within `change` at its end.
  func publish() {
    isChanged = true
    if changeDepth == 0 { publishNow() }
  }

  private func publishNow() {
    isChanged = false
    if ports.contains(where: { $0?.isStarted == true && $0!.needsInterim }) {
      threads.publish(makeView(isInterim: true))
    }
    threads.publish(makeView(isInterim: false))
    for case let state? in ports where state.isStarted { state.noteShown() }
    showPorts()
    let actions = afterPublishing
    afterPublishing = []
    for action in actions { action() }
  }

  func whenUnused(_ action: @escaping () -> Void) { afterPublishing.append(action) }

  private func makeView(isInterim: Bool) -> View {
    generation += 1
    return View(
      ports: ports.map { $0?.isStarted == true ? $0 : nil },
      bridges: bridges.map { index, bridge in bridge.source(index) }, threadCount: threads.count,
      generation: generation, isInterim: isInterim)
  }

  // MARK: Every second

  private func scheduleSecond() {
    secondTimer = loop.after(milliseconds: 1000) { [unowned self] in
      let now = cl_tsc()
      let second = clock.second(at: now)
      for bridge in bridges.values {
        bridge.table.expire(olderThan: UInt32(bridge.settings.macAgingTime), now: second)
        _ = bridge.pipeline.expire()
      }
      sampleLoad(at: now)
      balanceWhenDue()
      scheduleSecond()
    }
  }
}

extension PollThreads {
  fileprivate func unwatch(_ state: PortState) {
    for queue in state.descriptors.keys {
      watch(port: state.index, queue: queue, descriptor: nil, edgeTriggered: false, thread: 0)
    }
  }
}
