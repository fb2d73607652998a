import Packet

/// A bridge's own settings: Bridge.other_config, read.
public struct BridgeSettings: Equatable, Sendable {
  /// Seconds a MAC address is remembered without traffic (`mac-aging-time`), 15 to 3600 as Open vSwitch bounds it.
  public var macAgingTime = 300
  /// MAC addresses remembered at most (`mac-table-size`), 10 to 1,000,000.
  public var macTableSize = 8192
  /// Whether frames to 01:80:c2:00:00:0x are forwarded (`forward-bpdu`).
  public var forwardsReserved = false
  /// Whether the bridge begins with the one flow NORMAL, or with none (`fail_mode` standalone, or secure). Changing it
  /// removes all flows.
  public var startsWithNormal = true
  /// By table: how many flows it may hold (`Flow_Table`).
  public var flowLimits: [UInt8: FlowLimit] = [:]

  public init() {}
}

/// `flow_limit` and `overflow_policy` of a flow table.
public struct FlowLimit: Equatable, Sendable {
  public var count: Int
  /// Whether the flow with the least importance, and of those the one that expires soonest, makes room for a new one;
  /// flows without timeouts never do. Otherwise the new one is refused.
  public var evicts: Bool

  public init(count: Int, evicts: Bool = false) {
    self.count = count
    self.evicts = evicts
  }
}

/// How poll threads behave: Open_vSwitch.other_config, read.
public struct PollSettings: Equatable, Sendable {
  /// One poll thread per processor, pinned to it (`pmd-cpu-mask`); empty means one thread that runs anywhere.
  public var cpus: [Int] = []
  /// How long a poll thread looks for work before it sleeps, in microseconds (`poll-idle-microseconds`).
  public var idleMicroseconds = 100
  /// Whether a poll thread that has queues by affinity polls no others (`pmd-rxq-isolate`).
  public var isolatesPinned = true
  public var balancing = LoadBalancing()

  public init() {}
}

/// When receive queues are moved between poll threads unasked.
public struct LoadBalancing: Equatable, Sendable {
  /// `pmd-auto-lb`.
  public var isEnabled = false
  /// Minutes between looks at the load (`pmd-auto-lb-rebal-interval`).
  public var interval = 1
  /// Percent of a thread's time from which on it is overloaded (`pmd-auto-lb-load-threshold`).
  public var loadThreshold = 95
  /// Percent by which the variance of loads has to fall for a move (`pmd-auto-lb-improvement-threshold`).
  public var improvementThreshold = 25

  public init() {}
}

/// A learned address.
public struct MACEntry: Equatable, Sendable {
  public let port: PortID
  public let vlan: Int
  public let address: MACAddress
  /// Seconds since a frame from it was last seen.
  public let age: Int

  public init(port: PortID, vlan: Int, address: MACAddress, age: Int) {
    self.port = port
    self.vlan = vlan
    self.address = address
    self.age = age
  }
}

/// A bridge of the datapath, for as long as it exists.
public struct BridgeID: Hashable, Sendable {
  let index: Int
}

/// A port of the datapath, for as long as it exists; the index is used again later.
public struct PortID: Hashable, Sendable {
  let index: UInt16
}
