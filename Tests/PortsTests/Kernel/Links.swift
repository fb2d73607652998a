import Linux
import Netlink

@testable import Ports

/// The links of the current thread's namespace, as the switch follows them.
final class Links: LinkSource {
  let monitor: LinkMonitor
  init(_ loop: EventLoop) throws { monitor = try LinkMonitor(loop: loop) }

  func link(named name: String) -> LinkState? { monitor.link(named: name).map(state) }
  func link(index: Int) -> LinkState? { monitor.link(index: index).map(state) }
  func observe(_ body: @escaping () -> Void) -> () -> Void { monitor.observe(body) }

  private func state(_ link: Link) -> LinkState {
    LinkState(
      index: link.index, name: link.name, isUp: link.isUp, isRunning: link.isRunning, mtu: link.mtu,
      macAddress: link.macAddress, speed: link.speed, fullDuplex: link.fullDuplex, kind: link.kind,
      master: link.master.flatMap { monitor.link(index: $0)?.name })
  }
}

extension PortEnvironment {
  /// For ports that no poll thread uses.
  static func alone(statusChanged: @escaping () -> Void = {}) -> PortEnvironment {
    PortEnvironment(
      synchronize: {}, setWaitDescriptor: { _, _, _ in }, wake: {}, statusChanged: statusChanged)
  }
}
