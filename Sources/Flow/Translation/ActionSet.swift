/// The order in which a set of actions is executed: that of the action set, and of a group's bucket
/// (OpenFlow 1.5 §5.6, `ovs-actions(7)`, "Action Sets").
enum ActionSet {
  private enum Place {
    /// Once at most: the last one written counts. In the order of execution.
    case slot(Int)
    /// As often and in the order as written, behind those.
    case change
    /// The last: only the one of the highest rank counts, and of these the last written.
    case final(rank: Int)
    /// Not for sets: no effect.
    case none
  }

  /// Nothing unless one of `actions` sends the frame somewhere.
  static func ordered(_ actions: [Action]) -> [Action] {
    var slots: (Action?, Action?, Action?) = (nil, nil, nil)
    var changes: [Action] = []
    var final: (action: Action, rank: Int)?
    for action in actions {
      switch place(of: action) {
      case .slot(0): slots.0 = action
      case .slot(1): slots.1 = action
      case .slot: slots.2 = action
      case .change: changes.append(action)
      case .final(let rank): if final == nil || rank >= final!.rank { final = (action, rank) }
      case .none: break
      }
    }
    guard let final else { return [] }
    return [slots.0, slots.1, slots.2].compactMap(\.self) + changes + [final.action]
  }

  private static func place(of action: Action) -> Place {
    switch action {
    case .popVLAN: .slot(0)
    case .pushVLAN: .slot(1)
    case .decrementTTL: .slot(2)
    case .setField, .load, .move, .modEthernetSource, .modEthernetDestination, .modIPv4Source,
      .modIPv4Destination, .modTOS, .modECN, .modTTL, .modTransportSource, .modTransportDestination,
      .modVLANVID, .modVLANPCP:
      .change
    case .resubmit: .final(rank: 0)
    case .output: .final(rank: 1)
    // Without a reason or an id it is the same as an output to CONTROLLER.
    case .controller(let output):
      output.reason == .action && output.controllerID == 0 ? .final(rank: 1) : .none
    case .group: .final(rank: 2)
    case .outputField, .push, .pop, .learn, .conjunction, .note, .exit, .clone, .meter, .clearActions,
      .writeActions, .writeMetadata, .gotoTable:
      .none
    }
  }
}
