import Datapath
import Linux
import Ports

/// Makes the datapath what the database asks for, with the fewest commands.
///
/// Theory of operation. `apply` compares the desired state with what is live and works in an order that makes any
/// transition possible: first everything leaves that has to (interfaces unwanted, moved to another bridge, of
/// another type, or whose new options cannot be applied in place), so that a device or socket is free before its
/// next owner wants it; then bridges go, come and change; then interfaces come. An interface whose desired state is
/// as before is not touched at all.
///
/// A port that cannot be made is an entry in `Live.failed`, not an error of `apply`: it is tried again with growing
/// pauses, and at once when its configuration changes, when something else was removed, or when `retry` is called
/// because its device appeared. What ends up live therefore depends on the desired state and on what works, not on
/// the way there.
public final class Reconciler {
  /// Called with the rows concerned when a retry changed something outside of `apply`.
  public var onChange: (([RowID]) -> Void)?
  /// What was applied last.
  public private(set) var desired = DesiredState()

  private let loop: EventLoop
  private let datapath: any DatapathControl
  private let ports: any PortMaking
  private let retryPause: ClosedRange<Int>
  private var poll = PollSettings()
  private var bridges: [String: LiveBridge] = [:]
  private var interfaces: [String: LiveInterface] = [:]
  /// The interface behind each attached port.
  private var names: [PortID: String] = [:]
  /// Rows of interfaces that something happened to since `takeTouched`.
  private var touched: Set<RowID> = []
  private var retryTimer: EventLoop.Timer?

  private struct LiveBridge {
    let id: BridgeID
    var settings: BridgeSettings
    var numbers = PortNumbers()
  }

  private struct LiveInterface {
    var desired: DesiredInterface
    var state: State
  }

  private enum State {
    case attached(PortID, any Port)
    case failed(Failure)
  }

  private struct Failure {
    var error: String
    var attempts: Int
    /// Monotonic nanoseconds.
    var retryAt: UInt64
  }

  /// - Parameter retryPause: milliseconds before the first and, after doubling, between later attempts.
  public init(
    _ loop: EventLoop, _ datapath: any DatapathControl, _ ports: any PortMaking,
    retryPause: ClosedRange<Int> = 1000...30_000
  ) {
    self.loop = loop
    self.datapath = datapath
    self.ports = ports
    self.retryPause = retryPause
  }

  /// Returns the rows of interfaces that something was done about.
  @discardableResult
  public func apply(_ desired: DesiredState) -> [RowID] {
    self.desired = desired
    applyPollSettings()
    let changed = changedInterfaces()
    var freed = false
    // Two changes for poll threads, however much there is to do: what leaves is closed before what comes is made.
    datapath.change {
      freed = removeUnwanted(changed)
      freed = reconfigure(changed) || freed
    }
    datapath.change {
      changeBridges()
      alterInPlace(changed)
      if !changed.isEmpty { assignNumbers() }
      attachMissing(changed, retryFailed: freed)
    }
    scheduleRetry()
    return takeTouched()
  }

  /// Names of the interfaces whose desired state is not what they have, or had, ascending.
  private func changedInterfaces() -> [String] {
    var changed: [String] = []
    for (name, live) in interfaces where desired.interfaces[name] != live.desired { changed.append(name) }
    for name in desired.interfaces.keys where interfaces[name] == nil { changed.append(name) }
    return changed.sorted()
  }

  private func takeTouched() -> [RowID] {
    defer { touched = [] }
    return Array(touched)
  }

  /// Removes everything: the end of the program.
  public func removeAll() { apply(DesiredState()) }

  /// Whether an interface is live on this bridge (and so keeps what others might want).
  public func holds(_ interface: String, on bridge: String) -> Bool {
    guard let live = interfaces[interface], case .attached = live.state else { return false }
    return live.desired.bridge == bridge
  }

  /// Tries those again that failed and are named here; all of them without names.
  public func retry(_ names: Set<String>? = nil) {
    let failed = interfaces.keys.filter { name in
      guard case .failed = interfaces[name]?.state else { return false }
      return names?.contains(name) ?? true
    }
    guard !failed.isEmpty else { return }
    datapath.change { for name in failed.sorted() { attach(name) } }
    scheduleRetry()
    onChange?(takeTouched())
  }
}

// How things stand.
extension Reconciler {
  /// An interface as it is now.
  public struct Condition {
    /// Its OpenFlow number; nil when it has failed.
    public var number: Int?
    /// Why it has failed.
    public var error: String?
    /// Whether it is a kernel network device.
    public var isDevice: Bool
    public var attached: (id: PortID, port: any Port)?
  }

  public func condition(of interface: String) -> Condition? {
    guard let live = interfaces[interface] else { return nil }
    let isDevice = live.desired.configuration.kind.isDevice
    switch live.state {
    case .attached(let id, let port):
      let number = bridges[live.desired.bridge]?.numbers[interface]
      return Condition(number: number, error: nil, isDevice: isDevice, attached: (id, port))
    case .failed(let failure):
      return Condition(number: nil, error: failure.error, isDevice: isDevice, attached: nil)
    }
  }

  public func bridge(_ name: String) -> BridgeID? { bridges[name]?.id }

  /// The interface behind a port of the datapath.
  public func interface(of port: PortID) -> DesiredInterface? {
    names[port].flatMap { interfaces[$0]?.desired }
  }
}

// Leaving.
extension Reconciler {
  private func removeUnwanted(_ changed: [String]) -> Bool {
    var freed = false
    for name in changed {
      guard let live = interfaces[name] else { continue }
      let wanted = desired.interfaces[name]
      let stays = wanted.map {
        $0.bridge == live.desired.bridge && $0.configuration.kind == live.desired.configuration.kind
      }
      if stays == true { continue }
      detach(name)
      if wanted?.bridge != live.desired.bridge { bridges[live.desired.bridge]?.numbers.release(name) }
      freed = true
    }
    return freed
  }

  /// Applies changed options where the port can, and removes those that have to be made anew. Whether any were.
  private func reconfigure(_ changed: [String]) -> Bool {
    var freed = false
    for name in changed {
      guard let live = interfaces[name], let wanted = desired.interfaces[name],
        wanted.configuration != live.desired.configuration
      else { continue }
      if case .attached(_, let port) = live.state, accepts(port, wanted.configuration) {
        interfaces[name]?.desired.configuration = wanted.configuration
        continue
      }
      detach(name)
      freed = true
    }
    return freed
  }

  private func accepts(_ port: any Port, _ configuration: PortConfiguration) -> Bool {
    do throws(PortError) {
      return try port.reconfigure(configuration)
    } catch {
      // Made anew, it will fail with the reason; or succeed.
      Log.debug("reconciler", "\(configuration.name): cannot change in place: \(error)")
      return false
    }
  }

  private func detach(_ name: String) {
    guard let live = interfaces.removeValue(forKey: name) else { return }
    touched.insert(live.desired.row)
    if case .attached(let id, _) = live.state {
      names[id] = nil
      datapath.removePort(id)
      Log.info("reconciler", "bridge \(live.desired.bridge): removed interface \(name)")
    }
  }
}

// Changing and coming.
extension Reconciler {
  private func applyPollSettings() {
    guard desired.poll != poll else { return }
    do throws(SystemError) {
      try datapath.apply(desired.poll)
      poll = desired.poll
    } catch {
      Log.error("reconciler", "the poll threads stay as they are: \(error)")
    }
  }

  private func changeBridges() {
    for (name, live) in bridges.sorted(by: { $0.key < $1.key }) {
      guard let wanted = desired.bridges[name] else {
        datapath.removeBridge(live.id)
        bridges[name] = nil
        Log.info("reconciler", "removed bridge \(name)")
        continue
      }
      if wanted.settings != live.settings {
        datapath.configureBridge(live.id, wanted.settings)
        bridges[name]?.settings = wanted.settings
      }
    }
    for (name, wanted) in desired.bridges.sorted(by: { $0.key < $1.key }) where bridges[name] == nil {
      bridges[name] = LiveBridge(id: datapath.addBridge(name, wanted.settings), settings: wanted.settings)
      Log.info("reconciler", "added bridge \(name)")
    }
  }

  private func alterInPlace(_ changed: [String]) {
    for name in changed {
      guard let live = interfaces[name], let wanted = desired.interfaces[name] else { continue }
      touched.insert(live.desired.row)
      touched.insert(wanted.row)
      if case .attached(let id, _) = live.state, wanted.vlan != live.desired.vlan {
        datapath.setVLAN(wanted.vlan, of: id)
      }
      if case .attached(let id, _) = live.state, wanted.affinity != live.desired.affinity {
        datapath.setAffinity(wanted.affinity, of: id)
      }
      if case .attached(let id, _) = live.state, wanted.stormLimit != live.desired.stormLimit {
        datapath.setStormLimit(wanted.stormLimit, of: id)
      }
      interfaces[name]?.desired = wanted
    }
  }

  private func assignNumbers() {
    let byBridge = Dictionary(grouping: desired.interfaces.values, by: \.bridge)
    for (bridge, interfaces) in byBridge {
      let old = bridges[bridge]?.numbers
      let unsettled = interfaces.filter { old?.isSettled($0.name, $0.number) != true }
      let requests = unsettled.sorted { $0.name < $1.name }.map { ($0.name, $0.number) }
      if requests.isEmpty { continue }
      bridges[bridge]?.numbers.assign(requests)
      for interface in unsettled where old?[interface.name] != bridges[bridge]?.numbers[interface.name] {
        touched.insert(interface.row)
        if case .attached(let id, _) = self.interfaces[interface.name]?.state,
          let number = bridges[bridge]?.numbers[interface.name]
        {
          datapath.setNumber(UInt16(number), of: id)
        }
      }
    }
  }

  private func attachMissing(_ changed: [String], retryFailed: Bool) {
    var missing = changed.filter { interfaces[$0] == nil }
    if retryFailed { missing += failedInterfaces }
    // Local ports first, so that a new bridge has its own before others; then by name.
    let wanted = missing.compactMap { desired.interfaces[$0] }.sorted {
      ($0.number == .local ? 0 : 1, $0.name) < ($1.number == .local ? 0 : 1, $1.name)
    }
    for interface in wanted {
      if interfaces[interface.name] == nil {
        interfaces[interface.name] = LiveInterface(
          desired: interface, state: .failed(Failure(error: "not set up yet", attempts: 0, retryAt: 0)))
      }
      attach(interface.name)
    }
  }

  private var failedInterfaces: [String] {
    interfaces.compactMap { name, live in if case .failed = live.state { name } else { nil } }
  }

  /// Makes the port of an interface in state `failed`.
  private func attach(_ name: String) {
    guard let live = interfaces[name], case .failed(let failure) = live.state,
      let bridge = bridges[live.desired.bridge]
    else { return }
    touched.insert(live.desired.row)
    do throws(PortError) {
      guard let number = bridge.numbers[name] else {
        throw PortError("bridge \(live.desired.bridge) has no OpenFlow port number left for \(name)")
      }
      let port = try ports.makePort(live.desired.configuration)
      let id = try datapath.addPort(
        port, to: bridge.id, number: UInt16(number), vlan: live.desired.vlan, affinity: live.desired.affinity)
      if let limit = live.desired.stormLimit { datapath.setStormLimit(limit, of: id) }
      interfaces[name]?.state = .attached(id, port)
      names[id] = name
      Log.info("reconciler", "bridge \(live.desired.bridge): added interface \(name) on port \(number)")
      if let error = port.status.error { Log.warning("reconciler", "interface \(name): \(error)") }
    } catch {
      fail(name, failure, error.description)
    }
  }

  private func fail(_ name: String, _ earlier: Failure, _ error: String) {
    if earlier.error != error { Log.warning("reconciler", "interface \(name): \(error)") }
    let doublings = min(earlier.attempts, 16)
    let pause = min(retryPause.lowerBound << doublings, retryPause.upperBound)
    let failure = Failure(
      error: error, attempts: earlier.attempts + 1,
      retryAt: monotonicNanoseconds() + UInt64(pause) * 1_000_000)
    interfaces[name]?.state = .failed(failure)
  }

  private func scheduleRetry() {
    retryTimer?.cancel()
    retryTimer = nil
    let moments = interfaces.values.compactMap { live in
      if case .failed(let failure) = live.state { failure.retryAt } else { nil }
    }
    guard let soonest = moments.min() else { return }
    let now = monotonicNanoseconds()
    let wait = soonest <= now ? 0 : Int((soonest - now) / 1_000_000) + 1
    retryTimer = loop.after(milliseconds: wait) { [weak self] in self?.retryDue() }
  }

  private func retryDue() {
    let now = monotonicNanoseconds()
    let due = interfaces.filter { _, live in
      if case .failed(let failure) = live.state { failure.retryAt <= now } else { false }
    }
    guard !due.isEmpty else { return scheduleRetry() }
    retry(Set(due.keys))
  }
}
