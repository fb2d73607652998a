import CLinux
import Linux
import Packet
import Ports

/// The switch itself, as the control thread sees it: bridges, ports, poll threads.
///
/// Every method is called from the control thread. A change is complete when the method returns: poll threads see it,
/// and nothing of what it replaced is in use. Ports that a change does not concern go on forwarding throughout.
public final class Datapath {
  /// A port's link, counters' names or addresses changed.
  public var onStatusChange: ((PortID) -> Void)?

  private let loop: EventLoop
  private let clock = TSCClock.shared
  private var settings: PollSettings
  private var threads: PollThreads
  private var bridges: [Int: BridgeState] = [:]
  private var ports: [UInt16: PortState] = [:]
  private var generation: UInt64 = 0
  private var nextBridge = 0
  private var nextPort: UInt16 = 0
  private var agingTimer: EventLoop.Timer?

  public init(loop: EventLoop, settings: PollSettings = PollSettings()) throws(SystemError) {
    self.loop = loop
    self.settings = settings
    threads = try PollThreads(settings)
    scheduleAging()
  }

  // MARK: Poll threads

  /// Replaces the poll threads if `settings` differ. Forwarding pauses for as long as starting threads takes.
  public func apply(_ settings: PollSettings) throws(SystemError) {
    guard settings != self.settings else { return }
    let replacement = try PollThreads(settings)
    threads.stop()
    for state in ports.values { state.retireCounters() }
    threads = replacement
    self.settings = settings
    for state in ports.values {
      state.makeSlot(threadCount: threads.count)
      assign(state)
    }
    publish()
  }

  public func pollThreadStatistics() -> [PollThreadStatistics] {
    threads.statistics(queues: queuesPerThread())
  }

  /// Ends all ports and threads. The datapath is unusable afterwards.
  public func stop() {
    agingTimer?.cancel()
    for id in ports.keys.sorted() { removePort(PortID(index: id)) }
    threads.stop()
  }

  // MARK: Bridges

  public func addBridge(_ name: String, _ settings: BridgeSettings = BridgeSettings()) -> BridgeID {
    let id = BridgeID(index: nextBridge)
    nextBridge += 1
    bridges[id.index] = BridgeState(name: name, settings: settings)
    publish()
    return id
  }

  /// Applies altered settings; learned addresses are kept as far as they fit.
  public func configureBridge(_ id: BridgeID, _ settings: BridgeSettings) {
    guard let bridge = bridges[id.index], bridge.settings != settings else { return }
    let old = bridge.configure(settings)
    publish()
    old?.free()
  }

  /// Forgets a bridge, and the ports that are still on it.
  public func removeBridge(_ id: BridgeID) {
    for (port, state) in ports where state.bridge == id.index { removePort(PortID(index: port)) }
    guard let bridge = bridges.removeValue(forKey: id.index) else { return }
    publish()
    bridge.table.free()
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
  public func addPort(_ port: any Port, to bridge: BridgeID, vlan: VLANConfiguration = VLANConfiguration())
    throws(PortError) -> PortID
  {
    guard bridges[bridge.index] != nil else { throw PortError("\(port.name): its bridge does not exist") }
    guard let index = freeIndex() else {
      throw PortError("\(port.name): the switch has \(ports.count) ports, and cannot have more")
    }
    let state = PortState(port, index: index, bridge: bridge.index, vlan: vlan, threadCount: threads.count)
    ports[index] = state
    do {
      try port.start(environment(for: state))
    } catch {
      threads.unwatch(state)
      ports[index] = nil
      port.close()
      state.free()
      throw error
    }
    state.isStarted = true
    assign(state)
    publish()
    return PortID(index: index)
  }

  public func setVLAN(_ vlan: VLANConfiguration, of id: PortID) {
    guard let state = ports[id.index], state.vlan != vlan else { return }
    state.vlan = vlan
    publish()
    bridges[state.bridge]?.table.flush(port: id.index)
  }

  /// Disconnects and closes a port; its learned addresses go with it.
  public func removePort(_ id: PortID) {
    guard let state = ports.removeValue(forKey: id.index) else { return }
    threads.unwatch(state)
    publish()
    bridges[state.bridge]?.table.flush(port: id.index)
    state.port.close()
    state.free()
  }

  public func port(_ id: PortID) -> (any Port)? { ports[id.index]?.port }

  /// Frames, bytes and drops since the port was added.
  public func statistics(of id: PortID) -> PortStatistics { ports[id.index]?.statistics ?? PortStatistics() }

  // MARK: Within

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
    guard state.isStarted, ports[state.index] === state else { return }
    let mtu = state.port.status.mtu
    if mtu != state.mtu || state.port.receiveQueueCount != state.threads.count
      || state.port.transmitQueueCount != state.transmitQueues
    {
      assign(state)
      publish()
    }
    onStatusChange?(PortID(index: state.index))
  }

  /// Gives each receive queue of a port a poll thread: the one with the fewest.
  private func assign(_ state: PortState) {
    state.mtu = state.port.status.mtu
    state.transmitQueues = state.port.transmitQueueCount
    state.threads.removeAll()
    for _ in 0..<state.port.receiveQueueCount {
      let load = queuesPerThread()
      state.threads.append(load.firstIndex(of: load.min()!)!)
    }
    for queue in state.descriptors.keys { watch(state, queue) }
  }

  private func watch(_ state: PortState, _ queue: Int) {
    let entry = queue < state.threads.count ? state.descriptors[queue] : nil
    threads.watch(
      port: state.index, queue: queue, descriptor: entry?.descriptor,
      edgeTriggered: entry?.edgeTriggered ?? false,
      thread: queue < state.threads.count ? state.threads[queue] : 0)
  }

  private func queuesPerThread() -> [Int] {
    var load = [Int](repeating: 0, count: threads.count)
    for state in ports.values { for thread in state.threads { load[thread] += 1 } }
    return load
  }

  private func publish() {
    let sources = ports.values.filter(\.isStarted).map(\.source)
    let bridgeSources = bridges.map { index, bridge in bridge.source(index) }
    generation += 1
    threads.publish(
      View(ports: sources, bridges: bridgeSources, threadCount: threads.count, generation: generation))
  }

  /// The next unused index: one just freed is used again last.
  private func freeIndex() -> UInt16? {
    guard ports.count < Int(UInt16.max) else { return nil }
    while ports[nextPort] != nil { nextPort = nextPort == .max - 1 ? 0 : nextPort + 1 }
    defer { nextPort = nextPort == .max - 1 ? 0 : nextPort + 1 }
    return nextPort
  }

  private func scheduleAging() {
    agingTimer = loop.after(milliseconds: 1000) { [unowned self] in
      let now = clock.second(at: cl_tsc())
      for bridge in bridges.values {
        bridge.table.expire(olderThan: UInt32(bridge.settings.macAgingTime), now: now)
      }
      scheduleAging()
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
