// A trace, laid out
// =================
//
// Steps are a list in which a step belongs to the latest one before it of less depth. Shown, they are a tree in the
// layout of `ofproto/trace`: below a table stand the actions of its flow, and behind an action, not below it, what it led
// to. The last table of a list is not indented against the table it was called from, so that a chain of tables stays at
// the left margin; one after which its caller goes on is. No recursion: tables nest deeply.

/// One line of a trace, at its place in the tree.
struct TraceNode {
  enum Kind {
    /// A table, or the action set: what has lines below it.
    case list
    /// One of several lists, so it is indented though it be the last.
    case bucket
    case action
    /// What there is to say of an action.
    case detail
  }

  let kind: Kind
  let text: String
  /// The index of the list it stands in; nil: the outermost.
  let parent: Int?
}

struct TraceTree {
  private(set) var nodes: [TraceNode] = []
  /// Steps that others may belong to: from the outermost to the latest.
  private var open: [(depth: Int, node: Int)] = []

  /// Adds a line for a step of that depth.
  mutating func add(_ kind: TraceNode.Kind, _ text: String, depth: Int) {
    while let last = open.last, last.depth >= depth { open.removeLast() }
    append(kind, text, depth: depth)
  }

  /// Adds a list that stands below the latest one of the same depth, and takes its place.
  mutating func addWithin(_ text: String, depth: Int) {
    while let last = open.last, last.depth > depth { open.removeLast() }
    append(.list, text, depth: depth)
  }

  private mutating func append(_ kind: TraceNode.Kind, _ text: String, depth: Int) {
    // What an action led to stands behind it.
    let parent = open.last { nodes[$0.node].kind == .list || nodes[$0.node].kind == .bucket }?.node
    nodes.append(TraceNode(kind: kind, text: text, parent: parent))
    open.append((depth, nodes.count - 1))
  }

  /// The lines, indented.
  var lines: [String] {
    var lastOf: [Int: Int] = [:]
    for (index, node) in nodes.enumerated() { lastOf[node.parent ?? -1] = index }
    /// How far what stands below a node is indented, in steps of four.
    var levels: [Int] = []
    return nodes.enumerated().map { index, node in
      let level = node.parent.map { levels[$0] } ?? 0
      let isIndented = node.kind != .list || lastOf[node.parent ?? -1] != index
      levels.append(level + (isIndented ? 2 : 0))
      // Beyond any screen it is only bytes.
      let indent = String(repeating: " ", count: 4 * min(level + (isIndented ? 1 : 0), 64))
      return indent + (node.kind == .detail ? " -> " : "") + node.text
    }
  }
}
