import Linux
import Ports

@testable import Configuration
@testable import Datapath

/// Bridges and ports as a dictionary, with the datapath's rules checked.
final class FakeDatapath: DatapathControl {
  struct Bridge: Equatable {
    var name: String
    var settings: BridgeSettings
  }
  struct Attached {
    var port: FakePort
    var bridge: BridgeID
    var number: UInt16?
    var vlan: VLANConfiguration
    var affinity: [Int: Int]
    var stormLimit: StormLimit?
  }

  private(set) var bridges: [BridgeID: Bridge] = [:]
  private(set) var ports: [PortID: Attached] = [:]
  private(set) var poll = PollSettings()
  /// Sentences about rules that were broken.
  private(set) var violations: [String] = []
  /// Every command, in order.
  private(set) var commands: [String] = []
  var counters: [String: PortStatistics] = [:]
  private var nextBridge = 0
  private var nextPort: UInt16 = 0

  /// The log of thousands of made-up ports would bury the tests' own output.
  init() { Log.setLevel(.off) }

  /// How often something was made one change.
  private(set) var changes = 0

  func change(_ body: () -> Void) {
    changes += 1
    body()
  }

  func apply(_ settings: PollSettings) throws(SystemError) { poll = settings }

  func addBridge(_ name: String, _ settings: BridgeSettings) -> BridgeID {
    if bridges.values.contains(where: { $0.name == name }) { violations.append("bridge \(name) added twice") }
    commands.append("addBridge \(name)")
    nextBridge += 1
    let id = BridgeID(index: nextBridge)
    bridges[id] = Bridge(name: name, settings: settings)
    return id
  }

  func configureBridge(_ id: BridgeID, _ settings: BridgeSettings) {
    commands.append("configureBridge \(bridges[id]?.name ?? "?")")
    if bridges[id] == nil { violations.append("configured an unknown bridge") }
    bridges[id]?.settings = settings
  }

  func removeBridge(_ id: BridgeID) {
    commands.append("removeBridge \(bridges[id]?.name ?? "?")")
    if ports.values.contains(where: { $0.bridge == id }) { violations.append("removed a bridge with ports") }
    if bridges.removeValue(forKey: id) == nil { violations.append("removed an unknown bridge") }
  }

  func addPort(
    _ port: any Port, to bridge: BridgeID, number: UInt16?, vlan: VLANConfiguration, affinity: [Int: Int]
  ) throws(PortError) -> PortID {
    guard let port = port as? FakePort else { throw PortError("not a fake port") }
    if bridges[bridge] == nil { violations.append("added \(port.name) to an unknown bridge") }
    if ports.values.contains(where: { $0.port.name == port.name }) {
      violations.append("\(port.name) added twice")
    }
    do throws(PortError) { try port.start(environment) } catch {
      port.close()
      throw error
    }
    commands.append("addPort \(port.name)")
    nextPort += 1
    let id = PortID(index: nextPort)
    ports[id] = Attached(port: port, bridge: bridge, number: number, vlan: vlan, affinity: affinity)
    return id
  }

  func setNumber(_ number: UInt16, of port: PortID) {
    commands.append("setNumber \(ports[port]?.port.name ?? "?")")
    if ports[port] == nil { violations.append("numbered an unknown port") }
    ports[port]?.number = number
  }

  func setVLAN(_ vlan: VLANConfiguration, of port: PortID) {
    commands.append("setVLAN \(ports[port]?.port.name ?? "?")")
    if ports[port] == nil { violations.append("set the VLAN of an unknown port") }
    ports[port]?.vlan = vlan
  }

  func setAffinity(_ affinity: [Int: Int], of port: PortID) {
    commands.append("setAffinity \(ports[port]?.port.name ?? "?")")
    if ports[port] == nil { violations.append("set the affinity of an unknown port") }
    ports[port]?.affinity = affinity
  }

  func setStormLimit(_ limit: StormLimit?, of port: PortID) {
    commands.append("setStormLimit \(ports[port]?.port.name ?? "?")")
    if ports[port] == nil { violations.append("set the storm limit of an unknown port") }
    ports[port]?.stormLimit = limit
  }

  func removePort(_ id: PortID) {
    commands.append("removePort \(ports[id]?.port.name ?? "?")")
    guard let attached = ports.removeValue(forKey: id) else {
      return violations.append("removed an unknown port")
    }
    attached.port.close()
  }

  func statistics(of port: PortID) -> PortStatistics {
    ports[port].flatMap { counters[$0.port.name] } ?? PortStatistics()
  }

  func id(of name: String) -> PortID? { ports.first { $0.value.port.name == name }?.key }

  func port(named name: String) -> FakePort? { ports.values.first { $0.port.name == name }?.port }

  /// What forwards where, without identities.
  struct Picture: Equatable {
    struct Port: Equatable {
      var bridge: String
      var vlan: VLANConfiguration
      var affinity: [Int: Int]
      var stormLimit: StormLimit?
      var configuration: PortConfiguration
    }
    var bridges: [String: BridgeSettings] = [:]
    var ports: [String: Port] = [:]
    var poll = PollSettings()
  }

  var picture: Picture {
    var picture = Picture()
    picture.poll = poll
    for bridge in bridges.values { picture.bridges[bridge.name] = bridge.settings }
    for attached in ports.values {
      picture.ports[attached.port.name] = Picture.Port(
        bridge: bridges[attached.bridge]?.name ?? "?", vlan: attached.vlan,
        affinity: attached.affinity, stormLimit: attached.stormLimit,
        configuration: attached.port.configuration)
    }
    return picture
  }

  private var environment: PortEnvironment {
    PortEnvironment(synchronize: {}, setWaitDescriptor: { _, _, _ in }, wake: {}, statusChanged: {})
  }
}

/// Makes fake ports, some of which fail.
final class FakePorts: PortMaking {
  /// What making or starting the named interface says.
  var failures: [String: String] = [:]
  /// Interfaces whose options cannot be altered in place, and those where trying fails.
  var inflexible: Set<String> = []
  var refusingOptions: Set<String> = []
  private(set) var made: [FakePort] = []

  func makePort(_ configuration: PortConfiguration) throws(PortError) -> any Port {
    let port = FakePort(configuration)
    if let failure = failures[configuration.name] {
      // Half of the causes are found at once, half when starting.
      if configuration.name.utf8.count % 2 == 0 { throw PortError(failure) }
      port.startError = PortError(failure)
    }
    port.takesOptions = !inflexible.contains(configuration.name)
    if refusingOptions.contains(configuration.name) { port.optionsError = PortError("options refused") }
    made.append(port)
    return port
  }
}
