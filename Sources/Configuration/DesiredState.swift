import Datapath
import Packet
import Ports

/// What the database asks of the switch, judged: everything in it can be attempted, and what cannot is in
/// `refusals`, with the reason.
public struct DesiredState: Equatable, Sendable {
  public var poll = PollSettings()
  /// Accepted bridges, by name.
  public var bridges: [String: DesiredBridge] = [:]
  /// Accepted interfaces, by name.
  public var interfaces: [String: DesiredInterface] = [:]
  /// What Interface.error says of rows that are not, or not as asked, in `interfaces`.
  public var refusals: [RowID: String] = [:]
  /// Settings that were ignored, as sentences for the log.
  public var warnings: [String] = []

  public init() {}
}

public struct DesiredBridge: Equatable, Sendable {
  public var row: RowID
  public var name: String
  public var settings = BridgeSettings()
  /// What the local port has: other_config:hwaddr, or one derived from the row.
  public var address: MACAddress
  /// 16 hexadecimal digits: other_config:datapath-id, or the address.
  public var datapathID: String
  /// Settings that were ignored (Bridge.status:error).
  public var warnings: [String] = []
}

public struct DesiredInterface: Equatable, Sendable {
  public var row: RowID
  public var portRow: RowID
  /// The bridge's name.
  public var bridge: String
  public var configuration: PortConfiguration
  public var vlan: VLANConfiguration
  /// The most frames of it that are flooded; nil: no limit.
  public var stormLimit: StormLimit?
  /// The processor whose poll thread is to poll each receive queue, by queue.
  public var affinity: [Int: Int] = [:]
  /// The OpenFlow number asked for, or had in an earlier run.
  public var number: NumberRequest

  public var name: String { configuration.name }
}

/// Which OpenFlow port number an interface should have.
public enum NumberRequest: Equatable, Sendable {
  /// 65534: the bridge's own port.
  case local
  /// Interface.ofport_request: taken if it is free.
  case requested(Int)
  /// Any; `previous` is the one the row still shows from an earlier run.
  case any(previous: Int?)
}

/// Something only one interface can have at a time.
public enum Claim: Hashable, Sendable {
  /// An interface's name, in the database.
  case name(String)
  /// A kernel network device.
  case device(String)
  /// A socket in the file system, listening or connected to.
  case socket(String)
}
