import Datapath
import Linux
import Ports

/// What the reconciler needs of a datapath; `Datapath` is one.
public protocol DatapathControl: AnyObject {
  /// Makes everything that `body` changes one change, complete when this returns.
  func change(_ body: () -> Void)
  func apply(_ settings: PollSettings) throws(SystemError)
  func addBridge(_ name: String, _ settings: BridgeSettings) -> BridgeID
  func configureBridge(_ id: BridgeID, _ settings: BridgeSettings)
  /// Its ports must have been removed.
  func removeBridge(_ id: BridgeID)
  /// Starts the port under an OpenFlow number; one that cannot start is closed, and nothing else has changed.
  func addPort(
    _ port: any Port, to bridge: BridgeID, number: UInt16?, vlan: VLANConfiguration, affinity: [Int: Int]
  ) throws(PortError) -> PortID
  /// Gives a port another OpenFlow number.
  func setNumber(_ number: UInt16, of port: PortID)
  func setVLAN(_ vlan: VLANConfiguration, of port: PortID)
  /// Bounds the frames of the port that are flooded; nil: no limit.
  func setStormLimit(_ limit: StormLimit?, of port: PortID)
  /// Has receive queues polled on the processors named.
  func setAffinity(_ affinity: [Int: Int], of port: PortID)
  /// Forgets the addresses behind the port, and closes it.
  func removePort(_ id: PortID)
  func statistics(of port: PortID) -> PortStatistics
}

/// Makes ports of their configurations: the one place that knows every port type.
public protocol PortMaking: AnyObject {
  func makePort(_ configuration: PortConfiguration) throws(PortError) -> any Port
}

extension Datapath: DatapathControl {}
