import Linux
import Netlink
import Ports

/// The kernel's interfaces as ports want to see them.
public final class KernelLinks: LinkSource {
  private let monitor: LinkMonitor

  public init(_ loop: EventLoop) throws(NetlinkError) { monitor = try LinkMonitor(loop: loop) }

  public func link(named name: String) -> LinkState? { monitor.link(named: name).map(state) }
  public func link(index: Int) -> LinkState? { monitor.link(index: index).map(state) }
  public func observe(_ body: @escaping () -> Void) -> () -> Void { monitor.observe(body) }

  private func state(_ link: Link) -> LinkState {
    LinkState(
      index: link.index, name: link.name, isUp: link.isUp, isRunning: link.isRunning, mtu: link.mtu,
      macAddress: link.macAddress, speed: link.speed, fullDuplex: link.fullDuplex, kind: link.kind,
      // A master that went meanwhile still says that there was one.
      master: link.master.map { monitor.link(index: $0)?.name ?? "interface \($0)" })
  }
}
