// Actions and instructions
// ========================
//
// As `ovs-actions(7)` has them: OpenFlow's instructions stand in one list with the actions, in the order of OpenFlow 1.5
// §5.5: meter, the actions to apply, clear_actions, write_actions, write_metadata, goto_table. An action that has two
// spellings with different normal forms (`mod_nw_src` and `set_field:…->ip_src`) is two cases, so that what a user
// wrote is what is dumped. An empty list drops the frame.

public indirect enum Action: Hashable, Sendable {
  // MARK: Output

  case output(PortNumber)
  /// To the port whose number these bits hold.
  case outputField(SubField)
  /// To a controller: at most so many bytes of the frame.
  case controller(ControllerOutput)
  case group(UInt32)

  // MARK: Fields

  /// `set_field:VALUE/MASK->FIELD`; the mask covers the whole field unless given.
  case setField(Field, value: UInt128, mask: UInt128)
  /// `load:VALUE->FIELD[BITS]`
  case load(UInt128, SubField)
  /// `move:FROM->TO`, of as many bits each.
  case move(from: SubField, to: SubField)
  case push(SubField)
  case pop(SubField)
  /// `mod_dl_src`, `mod_dl_dst`
  case modEthernetSource(UInt64)
  case modEthernetDestination(UInt64)
  /// `mod_nw_src`, `mod_nw_dst`, in host byte order
  case modIPv4Source(UInt32)
  case modIPv4Destination(UInt32)
  /// `mod_nw_tos`: the upper six bits; ECN stays.
  case modTOS(UInt8)
  case modECN(UInt8)
  case modTTL(UInt8)
  /// `mod_tp_src`, `mod_tp_dst`: TCP, UDP or SCTP, as the frame has it.
  case modTransportSource(UInt16)
  case modTransportDestination(UInt16)
  /// `dec_ttl`, with controller ids if any: a frame with nothing left goes no further.
  case decrementTTL([UInt16])

  // MARK: VLAN

  /// `mod_vlan_vid`: sets the VLAN, pushing a tag where there is none.
  case modVLANVID(UInt16)
  /// `mod_vlan_pcp`: likewise with the priority.
  case modVLANPCP(UInt8)
  case popVLAN
  /// With the TPID: 0x8100 or 0x88a8.
  case pushVLAN(UInt16)

  // MARK: Control

  /// `resubmit([PORT],[TABLE])`: the current ones where nil. Also written `resubmit:PORT`.
  case resubmit(port: PortNumber?, table: UInt8?)
  case learn(LearnAction)
  /// `conjunction(id, clause/clauses)`; `clause` counts from 1.
  case conjunction(id: UInt32, clause: UInt8, clauses: UInt8)
  case note([UInt8])
  /// No further actions of this list and of those it was resubmitted from.
  case exit
  /// What these change is undone behind them.
  case clone([Action])

  // MARK: Instructions

  case meter(UInt32)
  case clearActions
  /// To the action set, which is executed when the pipeline ends.
  case writeActions([Action])
  case writeMetadata(value: UInt64, mask: UInt64)
  case gotoTable(UInt8)
}

/// `controller(…)`
public struct ControllerOutput: Hashable, Sendable {
  /// Why the frame is sent, as the controller is told.
  public enum Reason: String, CaseIterable, Sendable {
    case action, noMatch = "no_match", invalidTTL = "invalid_ttl", actionSet = "action_set", group
    case packetOut = "packet_out"
  }

  public var reason: Reason
  public var maximumLength: UInt16
  public var controllerID: UInt16

  public init(reason: Reason = .action, maximumLength: UInt16 = .max, controllerID: UInt16 = 0) {
    self.reason = reason
    self.maximumLength = maximumLength
    self.controllerID = controllerID
  }
}

/// `learn(…)`: makes or refreshes a flow from the frame at hand.
public struct LearnAction: Hashable, Sendable {
  /// Where bits come from.
  public enum Source: Hashable, Sendable {
    case field(SubField)
    case immediate(UInt128)
  }

  public enum Item: Hashable, Sendable {
    /// The flow matches these bits.
    case match(SubField, Source)
    /// The flow loads these bits.
    case load(SubField, Source)
    /// The flow outputs to the port these bits of the frame at hand name.
    case output(SubField)
  }

  public var table: UInt8 = 1
  public var priority: UInt16 = 0x8000
  public var idleTimeout: UInt16 = 0
  public var hardTimeout: UInt16 = 0
  /// Timeouts that hold from when a TCP connection is seen to end.
  public var finIdleTimeout: UInt16 = 0
  public var finHardTimeout: UInt16 = 0
  public var cookie: UInt64 = 0
  /// `send_flow_rem`
  public var sendsFlowRemoved = false
  /// `delete_learned`: the learned flows go when this one does.
  public var deletesLearned = false
  /// At most so many learned flows; 0 sets no limit.
  public var limit: UInt32 = 0
  /// Set to 1 when the flow was learned, 0 when the limit forbade it.
  public var resultDestination: SubField?
  public var items: [Item] = []

  public init() {}
}
