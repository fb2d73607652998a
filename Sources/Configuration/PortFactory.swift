import Linux
import Ports

/// Makes the port of each Interface.type. A new type has its line here and in `InterfaceConfiguration.types`.
public final class PortFactory: PortMaking {
  private let loop: EventLoop
  private let links: any LinkSource

  public init(_ loop: EventLoop, _ links: any LinkSource) {
    self.loop = loop
    self.links = links
  }

  public func makePort(_ configuration: PortConfiguration) throws(PortError) -> any Port {
    switch configuration.kind {
    case .vhostUser, .vhostUserClient: try VhostUserPort(configuration, loop: loop)
    case .tap, .internal: try TAPPort(configuration, loop: loop, links: links)
    case .system: try PacketSocketPort(configuration, links: links)
    }
  }
}
