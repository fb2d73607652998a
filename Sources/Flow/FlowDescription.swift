/// A flow as a user describes it: everything but its counters.
public struct FlowDescription: Hashable, Sendable {
  /// Flags of OpenFlow 1.5 §7.3.4.2.
  public struct Flags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `send_flow_rem`: tell controllers when the flow goes.
    public static let sendsFlowRemoved = Flags(rawValue: 1)
    /// `check_overlap`: refuse it if it overlaps a flow of the same priority.
    public static let checksOverlap = Flags(rawValue: 2)
    /// `reset_counts`: the counters of the flow it replaces are not kept.
    public static let resetsCounts = Flags(rawValue: 4)
    /// `no_packet_counts`, `no_byte_counts`: the user does without.
    public static let noPacketCounts = Flags(rawValue: 8)
    public static let noByteCounts = Flags(rawValue: 16)
  }

  public static let defaultPriority: UInt16 = 0x8000

  public var table: UInt8
  public var priority: UInt16
  public var match: Match
  public var cookie: UInt64
  /// Seconds without traffic, and in all, after which the flow goes; 0: never.
  public var idleTimeout: UInt16
  public var hardTimeout: UInt16
  /// The flow with the least goes first when a table is full.
  public var importance: UInt16
  public var flags: Flags
  public var actions: [Action]

  public init(
    table: UInt8 = 0, priority: UInt16 = defaultPriority, match: Match = Match(), cookie: UInt64 = 0,
    idleTimeout: UInt16 = 0, hardTimeout: UInt16 = 0, importance: UInt16 = 0, flags: Flags = [],
    actions: [Action] = []
  ) {
    self.table = table
    self.priority = priority
    self.match = match
    self.cookie = cookie
    self.idleTimeout = idleTimeout
    self.hardTimeout = hardTimeout
    self.importance = importance
    self.flags = flags
    self.actions = actions
  }
}

/// A request to change flows (OpenFlow 1.5 §7.3.4.2).
public struct FlowModification: Hashable, Sendable {
  public enum Command: Sendable {
    /// `add-flow`: replaces a flow with the same match and priority.
    case add
    /// `mod-flows`, `mod-flows --strict`: actions of what is there; adds nothing.
    case modify, modifyStrict
    case delete, deleteStrict
  }

  public var command: Command
  /// For deletions and modifications `table` may be nil: all tables.
  public var table: UInt8?
  public var flow: FlowDescription
  /// Only flows whose cookie has these bits as `flow.cookie` has them; 0: all. `modify` sets the cookie only where
  /// `setsCookie`.
  public var cookieMask: UInt64
  public var setsCookie: Bool
  /// Only flows that output there, or to that group.
  public var outputPort: PortNumber?
  public var outputGroup: UInt32?
  /// Of a flow that a `learn` action makes: nothing is added where its table has so many flows with its cookie; 0 sets
  /// no limit. Nil: nobody learned it.
  public var learnLimit: UInt32?

  public init(_ command: Command, _ flow: FlowDescription) {
    self.command = command
    table = flow.table
    self.flow = flow
    cookieMask = 0
    setsCookie = false
  }
}

/// A sentence a user can act on.
public struct FlowError: Error, Equatable, Sendable, CustomStringConvertible {
  public let description: String
  /// Of a request of several changes: which one was refused, from 0.
  public var index: Int?

  public init(_ description: String, index: Int? = nil) {
    self.description = description
    self.index = index
  }
}
