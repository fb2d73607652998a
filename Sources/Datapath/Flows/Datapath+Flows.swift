import CLinux
import Flow
import Linux
import Packet
import Ports

// Flows, as the control thread sees them.
extension Datapath {
  /// The flows of a bridge; nil when it is gone. What is changed there is in force when the call returns.
  public func flows(of id: BridgeID) -> FlowPipeline? { bridges[id.index]?.pipeline }

  /// The switch's clock: milliseconds, as flows' moments are counted.
  public var milliseconds: UInt64 { clock.milliseconds(at: cl_tsc()) }

  /// Gives a port another OpenFlow number.
  public func setNumber(_ number: UInt16, of id: PortID) {
    guard let state = state(id), state.number != number else { return }
    state.number = number
    portsChanged.insert(state.bridge)
    publish()
  }

  /// Where MAC learning would send a frame with these addresses that came in by `port`, without learning from it.
  ///
  /// - Parameter vlan: of the frame's tag; 0: none, or a priority tag.
  public func normalDecision(
    on id: BridgeID, from port: PortID, destination: MACAddress, vlan: Int
  ) -> NormalDecision {
    guard let bridge = bridges[id.index], let source = state(port) else { return .drop("its port is gone") }
    let admitted: Int
    switch source.vlan.admit(vlan) {
    case .some(let number): admitted = number
    case nil: return .drop("the port does not carry VLAN \(vlan)")
    }
    guard !destination.isGroup else {
      if destination.isReserved && !bridge.settings.forwardsReserved {
        return .drop("\(destination) is reserved")
      }
      return .flood(vlan: admitted)
    }
    guard let found = bridge.table.lookup(destination, vlan: admitted), found < ports.count,
      let output = ports[found], output.bridge == id.index
    else {
      return .flood(vlan: admitted)
    }
    if output === source { return .drop("\(destination) is behind the port it came from") }
    guard output.vlan.carries(admitted) else { return .drop("its port does not carry VLAN \(admitted)") }
    return .output(PortID(index: output.index), vlan: admitted)
  }

  // MARK: What flows are told

  /// Tells the flows of changed bridges which ports there are.
  func showPorts() {
    guard !portsChanged.isEmpty else { return }
    let changed = portsChanged
    portsChanged = []
    var byBridge: [Int: [PortNumber: FlowPort]] = [:]
    for bridge in changed { byBridge[bridge] = [:] }
    for case let state? in ports where state.isStarted && changed.contains(state.bridge) {
      state.shownLive = state.port.status.linkUp
      byBridge[state.bridge]?[PortNumber(state.number)] =
        FlowPort(isLive: state.shownLive, index: Int(state.index))
    }
    for (bridge, ports) in byBridge { bridges[bridge]?.pipeline.setPorts(ports) }
  }

  /// Has the flows that poll threads' frames ask for learned.
  func watchLearnedFlows() {
    learnedWatch = loop.watch(learned.wakeup.raw, .read) { [unowned self] _ in
      for request in learned.take() {
        guard let bridge = bridges[Int(request.bridge)] else { continue }
        bridge.pipeline.learn(request.flows)
      }
    }
  }
}

/// What NORMAL does with a frame.
public enum NormalDecision: Equatable, Sendable {
  /// The address is known to be there.
  case output(PortID, vlan: Int)
  /// To every port of the VLAN but the frame's own.
  case flood(vlan: Int)
  case drop(String)
}

extension VLANConfiguration {
  /// The VLAN of a received frame whose tag says `tagged` (0: none), or nil if it is not let in.
  func admit(_ tagged: Int) -> Int? {
    switch mode {
    case .access: tagged == 0 ? tag : nil
    case .trunk: carries(tagged) ? tagged : nil
    case .nativeTagged, .nativeUntagged: tagged == 0 ? tag : carries(tagged) ? tagged : nil
    }
  }
}
