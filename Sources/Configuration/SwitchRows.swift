import OVSDB
import OpenVSwitchRows

/// A row's identity in the database.
public typealias RowID = UUID

/// The rows the switch follows, as a tree of plain values: Open_vSwitch → Bridge → Port → Interface.
///
/// They hold what the database says, unjudged; `Validation` makes a `DesiredState` of them. `RowReader` reads them out of
/// the schema's rows once per change, because every comparison looks at all of them.
public struct SwitchRows: Equatable, Sendable {
  public var id: RowID
  /// Open_vSwitch.next_cfg.
  public var nextConfiguration: Int64 = 0
  public var otherConfig: [String: String] = [:]
  public var bridges: [FollowedBridge] = []

  public init(id: RowID) { self.id = id }
}

public struct FollowedBridge: Equatable, Sendable {
  public var id: RowID
  public var name: String
  /// Nil means standalone.
  public var failMode: BridgeRow.FailMode?
  /// By table number.
  public var flowTables: [Int64: FollowedFlowTable] = [:]
  public var otherConfig: [String: String] = [:]
  public var ports: [FollowedPort] = []

  public init(id: RowID, name: String, ports: [FollowedPort] = []) {
    self.id = id
    self.name = name
    self.ports = ports
  }
}

public struct FollowedFlowTable: Equatable, Sendable {
  /// The most flows the table may hold; nil: any number.
  public var limit: Int64?
  /// Nil means refuse.
  public var overflowPolicy: FlowTableRow.OverflowPolicy?
}

public struct FollowedPort: Equatable, Sendable {
  public var id: RowID
  public var name: String
  public var tag: Int64?
  public var trunks: [Int64] = []
  public var vlanMode: PortRow.VlanMode?
  public var interfaces: [FollowedInterface] = []

  public init(id: RowID, name: String, interfaces: [FollowedInterface] = []) {
    self.id = id
    self.name = name
    self.interfaces = interfaces
  }
}

public struct FollowedInterface: Equatable, Sendable {
  public var id: RowID
  public var name: String
  public var type: String = ""
  public var options: [String: String] = [:]
  public var otherConfig: [String: String] = [:]
  public var mac: String?
  public var mtuRequest: Int64?
  public var ofportRequest: Int64?
  /// The OpenFlow number of an earlier run, kept where nothing speaks against it.
  public var ofport: Int64?

  public init(id: RowID, name: String, type: String = "", options: [String: String] = [:]) {
    self.id = id
    self.name = name
    self.type = type
    self.options = options
  }
}
