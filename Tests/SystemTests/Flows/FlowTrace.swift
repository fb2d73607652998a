import Flow

/// A frame's way through our tables.
struct FlowTrace: CustomStringConvertible {
  let steps: [TraceStep]

  /// Whether the frame meets one of the differences that are meant; `SwitchComparison` lists them.
  var isIncomparable: Bool { isAtFault || isNormalForOthers }

  /// A pipeline that pushes a third tag, or learns flows or addresses before its fault shows.
  private var isAtFault: Bool {
    let isAtFault = steps.contains { step in
      guard case .note(let text) = step.event else { return false }
      return text.contains("is at fault")
    }
    guard isAtFault else { return false }
    return steps.contains { step in
      switch step.event {
      case .note(let text): text.contains("third tag")
      case .learned, .operation(.normal): true
      default: false
      }
    }
  }

  /// NORMAL with two tags, or from a group address.
  private var isNormalForOthers: Bool {
    steps.contains { step in
      guard case .operation(.normal) = step.event else { return false }
      return step.key[FlowWord.tags] & 0x1000 != 0 || step.key[.ethernetSource] >> 40 & 1 == 1
    }
  }

  var description: String {
    steps.map { step in
      let text =
        switch step.event {
        case .lookup(let table, let rule):
          "table \(table): " + (rule.map { FlowFormatter().flow($0.description) } ?? "no match")
        case .action(let action): FlowFormatter().actions([action])
        case .bucket(let bucket, _): "bucket \(bucket.id): \(FlowFormatter().actions(bucket.actions))"
        case .actionSet(let actions): "action set: \(FlowFormatter().actions(actions))"
        case .learned(let modification): "learned: \(FlowFormatter().flow(modification.flow))"
        case .note(let text): "(\(text))"
        case .operation(let operation): "> \(operation)"
        }
      return String(repeating: "  ", count: step.depth) + text
    }.joined(separator: "\n")
  }
}
