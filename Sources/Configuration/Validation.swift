import Datapath
import OpenVSwitchRows
import Packet
import Ports

/// Judges the rows: what can be attempted becomes a `DesiredState`, the rest a sentence each.
struct Validation {
  private let runDirectory: String
  private var state = DesiredState()
  /// What the interfaces accepted so far occupy.
  private var holders: [Claim: (interface: String, bridge: String)] = [:]

  /// - Parameter holds: whether an interface has a claim already, in the running switch. Where two rows ask for the
  ///   same thing, the one that has it keeps it; otherwise the first by name gets it.
  static func judge(
    _ rows: SwitchRows, runDirectory: String, holds: (_ interface: String, _ bridge: String) -> Bool
  )
    -> DesiredState
  {
    var validation = Validation(runDirectory: runDirectory)
    let (poll, warnings) = BridgeConfiguration.pollSettings(rows.otherConfig)
    validation.state.poll = poll
    validation.state.warnings = warnings
    let bridges = rows.bridges.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
    for bridge in bridges { validation.accept(bridge) }
    let candidates = bridges.flatMap { bridge in
      bridge.ports.sorted { ($0.name, $0.id) < ($1.name, $1.id) }.flatMap { port in
        port.interfaces.map { Candidate(bridge: bridge, port: port, interface: $0) }
      }
    }
    let incumbent = candidates.map { holds($0.interface.name, $0.bridge.name) }
    for (candidate, holds) in zip(candidates, incumbent) where holds { validation.accept(candidate) }
    for (candidate, holds) in zip(candidates, incumbent) where !holds { validation.accept(candidate) }
    return validation.state
  }

  private struct Candidate {
    let bridge: FollowedBridge
    let port: FollowedPort
    let interface: FollowedInterface
  }

  private init(runDirectory: String) { self.runDirectory = runDirectory }

  private mutating func accept(_ row: FollowedBridge) {
    if let other = state.bridges[row.name] {
      state.warnings.append(
        "bridge \(row.name): row \(row.id) is ignored, \(other.row) has that name already")
      return
    }
    let bridge = BridgeConfiguration.make(row)
    state.bridges[row.name] = bridge
    state.warnings += bridge.warnings
  }

  private mutating func accept(_ candidate: Candidate) {
    guard let bridge = state.bridges[candidate.bridge.name], bridge.row == candidate.bridge.id else { return }
    do throws(ConfigurationError) {
      var interface = try interface(candidate, on: bridge)
      try claim(for: interface)
      let (affinity, problem) = InterfaceConfiguration.affinity(candidate.interface, cpus: state.poll.cpus)
      interface.affinity = affinity
      let (limit, complaint) = InterfaceConfiguration.stormLimit(candidate.interface)
      interface.stormLimit = limit
      state.refusals[interface.row] = problem ?? complaint
      state.interfaces[interface.name] = interface
    } catch {
      state.refusals[candidate.interface.id] = error.description
    }
  }

  private func interface(_ candidate: Candidate, on bridge: DesiredBridge) throws(ConfigurationError)
    -> DesiredInterface
  {
    let count = candidate.port.interfaces.count
    guard count == 1 else {
      throw ConfigurationError(
        "port \(printable(candidate.port.name)) has \(count) interfaces: bonding is not supported, "
          + "keep one interface per port")
    }
    let row = candidate.interface
    let configuration = try InterfaceConfiguration.make(
      row, bridge: bridge.name, bridgeAddress: bridge.address, runDirectory: runDirectory)
    return DesiredInterface(
      row: row.id, portRow: candidate.port.id, bridge: bridge.name, configuration: configuration,
      vlan: try Self.vlan(candidate.port), number: Self.number(row, configuration, bridge: bridge.name))
  }

  private mutating func claim(for interface: DesiredInterface) throws(ConfigurationError) {
    let claims = InterfaceConfiguration.claims(interface.configuration)
    for claim in claims {
      guard let holder = holders[claim] else { continue }
      switch claim {
      case .name(let name), .device(let name):
        throw ConfigurationError(
          "\(name) is already on bridge \(holder.bridge): remove it there before adding it to \(interface.bridge)"
        )
      case .socket(let path):
        throw ConfigurationError(
          "the socket \(path) is already used by interface \(holder.interface) on bridge \(holder.bridge)")
      }
    }
    for claim in claims { holders[claim] = (interface.name, interface.bridge) }
  }

  static func vlan(_ port: FollowedPort) throws(ConfigurationError) -> VLANConfiguration {
    for vlan in [port.tag].compactMap({ $0 }) + port.trunks where !(0...4095).contains(vlan) {
      throw ConfigurationError("port \(printable(port.name)): VLAN \(vlan) is outside 0 to 4095")
    }
    var mode: VLANConfiguration.Mode?
    if let wanted = port.vlanMode {
      mode = VLANConfiguration.Mode(rawValue: wanted.text)
      if mode == nil {
        let known = VLANConfiguration.Mode.allCases.map(\.rawValue).joined(separator: ", ")
        throw ConfigurationError(
          "port \(printable(port.name)): vlan_mode \"\(printable(wanted.text))\" is not one this switch has: \(known)"
        )
      }
    }
    return VLANConfiguration(
      mode: mode, tag: port.tag.map { Int($0) }, trunks: Set(port.trunks.map { Int($0) }))
  }

  private static func number(_ row: FollowedInterface, _ configuration: PortConfiguration, bridge: String)
    -> NumberRequest
  {
    if configuration.kind == .internal, row.name == bridge { return .local }
    if let requested = PortNumbers.valid(row.ofportRequest) { return .requested(requested) }
    return .any(previous: PortNumbers.valid(row.ofport))
  }
}
