import OVSDB

/// A row's identity in the database.
public typealias RowID = UUID

/// The rows the switch follows, as a tree of plain values: Open_vSwitch → Bridge → Port → Interface.
///
/// Columns hold what the database says, unjudged; `Validation` makes a `DesiredState` of them.
public struct SwitchRows: Equatable, Sendable {
  public var id: RowID
  /// Open_vSwitch.next_cfg.
  public var nextConfiguration: Int64 = 0
  public var otherConfig: [String: String] = [:]
  public var bridges: [BridgeRow] = []

  public init(id: RowID) { self.id = id }
}

public struct BridgeRow: Equatable, Sendable {
  public var id: RowID
  public var name: String
  /// "standalone", "secure" or nil, which means the former.
  public var failMode: String?
  /// By table number.
  public var flowTables: [Int64: FlowTableRow] = [:]
  public var otherConfig: [String: String] = [:]
  public var ports: [PortRow] = []

  public init(id: RowID, name: String, ports: [PortRow] = []) {
    self.id = id
    self.name = name
    self.ports = ports
  }
}

public struct FlowTableRow: Equatable, Sendable {
  /// The most flows the table may hold; nil: any number.
  public var limit: Int64?
  /// "evict", "refuse" or nil, which means the latter.
  public var overflowPolicy: String?
}

public struct PortRow: Equatable, Sendable {
  public var id: RowID
  public var name: String
  public var tag: Int64?
  public var trunks: [Int64] = []
  public var vlanMode: String?
  public var interfaces: [InterfaceRow] = []

  public init(id: RowID, name: String, interfaces: [InterfaceRow] = []) {
    self.id = id
    self.name = name
    self.interfaces = interfaces
  }
}

public struct InterfaceRow: Equatable, Sendable {
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
