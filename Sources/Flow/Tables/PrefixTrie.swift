// Which prefixes of a field can match?
// ====================================
//
// Rules with the same mask look at the same bits of a frame, so a search that asks every sub-table would make every
// decision depend on the longest prefix any rule has. Often far fewer bits tell that no rule can match: with only
// 10.0.0.0/8 and 10.1.0.0/16 in a table, the first bit of 192.168.1.1 does.
//
// A trie holds the prefixes of one field of all of a table's rules. Walking it along a frame's value tells which lengths
// of prefix are there for this value, and how many leading bits of the value tell so: a sub-table whose length is not
// among them needs no search, and the decision depends on these bits only.
//
// Nodes are kept in one array, named by their index, and hold as many as 32 bits: a chain of bits without branches is
// one node, or a few.

struct PrefixTrie {
  private struct Node {
    /// The node's bits, at the upper end.
    var bits: UInt32
    /// How often the prefix that ends with this node was added.
    var count: UInt32 = 0
    /// Where it goes on with a bit 0, and with a bit 1, which is the first of the child's own bits.
    var zero: UInt32 = 0
    var one: UInt32 = 0
    var length: UInt8

    func child(_ bit: Bool) -> UInt32 { bit ? one : zero }
  }

  /// What a walk found.
  struct Answer {
    /// Bit n - 1 is set when there is a prefix of n bits that matches.
    var lengths: UInt128 = 0
    /// How many leading bits of the value tell so.
    var checked = 0

    func contains(_ length: Int) -> Bool { lengths &>> UInt128(length &- 1) & 1 == 1 }
  }

  /// Node 0 is nobody.
  private var nodes: ContiguousArray<Node> = [Node(bits: 0, length: 0)]
  private var root: UInt32 = 0
  /// The first unused node; its `zero` names the next.
  private var free: UInt32 = 0

  var isEmpty: Bool { root == 0 }

  /// The 32 bits of `value` from bit `offset` on, counted from the upper end.
  @inline(__always)
  private static func bits(_ value: UInt128, at offset: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: (value &<< UInt128(offset)) &>> 96)
  }

  /// - Parameter value: the field's value, at the upper end.
  func walk(_ value: UInt128) -> Answer {
    var answer = Answer()
    var index = root
    while index != 0 {
      let node = nodes[Int(index)]
      let different = node.bits ^ Self.bits(value, at: answer.checked)
      let equal = different.leadingZeroBitCount
      if equal < node.length {
        answer.checked += equal + 1
        return answer
      }
      answer.checked += Int(node.length)
      if node.count > 0 { answer.lengths |= 1 &<< UInt128(answer.checked &- 1) }
      if answer.checked == 128 { return answer }
      index = node.child(Self.bits(value, at: answer.checked) >> 31 == 1)
      // Where there is only the other branch, one more bit tells that this one is not there.
      if index == 0, node.zero | node.one != 0 { answer.checked += 1 }
    }
    return answer
  }

  // MARK: Changes

  /// - Parameter length: 1 at least.
  mutating func insert(_ value: UInt128, length: Int) {
    var path = Path()
    var offset = 0
    var index = root
    while index != 0 {
      let node = nodes[Int(index)]
      let wanted = Self.bits(value, at: offset)
      let equal = min((node.bits ^ wanted).leadingZeroBitCount, length - offset)
      if equal < node.length {
        split(index, after: equal, at: path)
        // The upper half took the lower one's place.
        index = path.isEmpty ? root : nodes[Int(path.last.node)].child(path.last.bit)
        offset += equal
      } else {
        offset += Int(node.length)
      }
      if offset == length {
        nodes[Int(index)].count += 1
        return
      }
      let bit = Self.bits(value, at: offset) >> 31 == 1
      path.append(index, bit)
      index = nodes[Int(index)].child(bit)
    }
    append(value, from: offset, to: length, at: path)
  }

  /// Takes away what `insert` put there.
  mutating func remove(_ value: UInt128, length: Int) {
    var path = Path()
    var offset = 0
    var index = root
    while index != 0 {
      offset += Int(nodes[Int(index)].length)
      if offset >= length { break }
      let bit = Self.bits(value, at: offset) >> 31 == 1
      path.append(index, bit)
      index = nodes[Int(index)].child(bit)
    }
    guard index != 0, offset == length, nodes[Int(index)].count > 0 else { return }
    nodes[Int(index)].count -= 1
    // What no longer carries anything goes, from the end towards the root.
    while nodes[Int(index)].count == 0 {
      let node = nodes[Int(index)]
      if node.zero != 0 && node.one != 0 { return }
      let child = node.zero | node.one
      if child == 0 {
        link(path, to: 0)
      } else {
        guard node.length + nodes[Int(child)].length <= 32 else { return }
        nodes[Int(child)].bits = node.bits | nodes[Int(child)].bits &>> UInt32(node.length)
        nodes[Int(child)].length += node.length
        link(path, to: child)
      }
      release(index)
      guard !path.isEmpty else { return }
      index = path.removeLast().node
    }
  }

  /// The way from the root to a link: through which nodes, and by which bit out of each.
  private struct Path {
    private var steps: ContiguousArray<(node: UInt32, bit: Bool)> = []
    var isEmpty: Bool { steps.isEmpty }
    var last: (node: UInt32, bit: Bool) { steps[steps.count - 1] }
    mutating func append(_ node: UInt32, _ bit: Bool) { steps.append((node, bit)) }
    mutating func removeLast() -> (node: UInt32, bit: Bool) { steps.removeLast() }
  }

  private mutating func link(_ path: Path, to index: UInt32) {
    guard !path.isEmpty else {
      root = index
      return
    }
    let (node, bit) = path.last
    if bit { nodes[Int(node)].one = index } else { nodes[Int(node)].zero = index }
  }

  /// Makes two nodes of one: `count` bits, and the rest below.
  private mutating func split(_ index: UInt32, after count: Int, at path: Path) {
    let node = nodes[Int(index)]
    var upper = Node(bits: count == 0 ? 0 : node.bits & ~(UInt32.max &>> UInt32(count)), length: UInt8(count))
    let lowerBits = node.bits &<< UInt32(count)
    nodes[Int(index)].bits = lowerBits
    nodes[Int(index)].length = node.length - UInt8(count)
    if lowerBits >> 31 == 1 { upper.one = index } else { upper.zero = index }
    link(path, to: make(upper))
  }

  /// Adds the bits from `offset` to `length` as new nodes.
  private mutating func append(_ value: UInt128, from offset: Int, to length: Int, at path: Path) {
    var path = path
    var offset = offset
    while offset < length {
      let count = min(length - offset, 32)
      let mask = count == 32 ? UInt32.max : ~(UInt32.max &>> UInt32(count))
      var node = Node(bits: Self.bits(value, at: offset) & mask, length: UInt8(count))
      offset += count
      node.count = offset == length ? 1 : 0
      let index = make(node)
      link(path, to: index)
      if offset < length { path.append(index, Self.bits(value, at: offset) >> 31 == 1) }
    }
  }

  private mutating func make(_ node: Node) -> UInt32 {
    if free != 0 {
      let index = free
      free = nodes[Int(index)].zero
      nodes[Int(index)] = node
      return index
    }
    // Grows by a quarter, not by as much again: there may be millions.
    if nodes.count == nodes.capacity { nodes.reserveCapacity(nodes.count + nodes.count / 4 + 16) }
    nodes.append(node)
    return UInt32(nodes.count - 1)
  }

  private mutating func release(_ index: UInt32) {
    nodes[Int(index)] = Node(bits: 0, zero: free, length: 0)
    free = index
  }
}
