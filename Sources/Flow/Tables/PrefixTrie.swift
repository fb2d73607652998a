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
// one node, or a few. There is a limit to their number, beyond which little would be told apart for much memory: longer
// prefixes are then only counted where their way ends, and a walk that comes by takes every longer length for possible.

struct PrefixTrie {
  private struct Node {
    /// The node's bits, at the upper end.
    var bits: UInt32
    /// Where it goes on with a bit 0, and with a bit 1, which is the first of the child's own bits.
    var zero: UInt32 = 0
    var one: UInt32 = 0
    private var countAndLength: UInt32
    /// How many prefixes go on behind this node without nodes of their own.
    var uncharted: UInt32 = 0

    init(bits: UInt32, length: Int, count: Int = 0, zero: UInt32 = 0) {
      self.bits = bits
      self.zero = zero
      countAndLength = UInt32(count) << 6 | UInt32(length)
    }

    /// How many bits it has.
    var length: Int {
      get { Int(countAndLength & 63) }
      set { countAndLength = countAndLength & ~63 | UInt32(newValue) }
    }

    /// How often the prefix that ends with this node was added; at most 67,108,863, for there is no memory for more.
    var count: Int {
      get { Int(countAndLength >> 6) }
      set { countAndLength = UInt32(newValue) << 6 | countAndLength & 63 }
    }

    func child(_ bit: Bool) -> UInt32 { bit ? one : zero }
  }

  /// What a walk found.
  struct Answer {
    /// Bit n - 1 is set when there is a prefix of n bits that matches.
    var lengths: UInt128 = 0
    /// How many leading bits of the value tell so.
    var checked = 0

    /// As many, or a few more: were every number of bits possible, decisions would have as many masks, each of which is
    /// one more to try where decisions are cached. In steps of four, 998 rules in 20 masks make 48 masks of 619, for three
    /// times as many cached decisions.
    var roundedChecked: Int { (checked &+ 3) & ~3 }

    func contains(_ length: Int) -> Bool { lengths &>> UInt128(length &- 1) & 1 == 1 }
  }

  /// How many nodes there may be.
  private let capacity: Int
  /// Node 0 is nobody.
  private var nodes: ContiguousArray<Node> = [Node(bits: 0, length: 0)]
  private var root: UInt32 = 0
  /// The first unused node; its `zero` names the next.
  private var free: UInt32 = 0

  init(capacity: Int = 1 << 17) { self.capacity = capacity }

  /// Whether there is no prefix, and no node for one.
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
      answer.checked += node.length
      if node.count > 0 { answer.lengths |= 1 &<< UInt128(answer.checked &- 1) }
      if answer.checked == 128 { return answer }
      if node.uncharted > 0 { answer.lengths |= UInt128.max &<< UInt128(answer.checked) }
      index = node.child(Self.bits(value, at: answer.checked) >> 31 == 1)
      // Where there is only the other branch, one more bit tells that this one is not there.
      if index == 0, node.zero | node.one != 0 { answer.checked += 1 }
    }
    return answer
  }

  // MARK: Changes

  /// - Parameter length: 1 at least.
  mutating func insert(_ value: UInt128, length: Int) {
    var link = Link()
    var offset = 0
    var index = root
    while index != 0 {
      let node = nodes[Int(index)]
      let wanted = Self.bits(value, at: offset)
      let equal = min((node.bits ^ wanted).leadingZeroBitCount, length - offset)
      if equal < node.length {
        // A split takes a node, and what follows may take four.
        if isFull && link.node != 0 { break }
        index = split(index, after: equal, at: link)
        offset += equal
      } else {
        offset += node.length
      }
      if offset == length {
        nodes[Int(index)].count += 1
        return
      }
      let bit = Self.bits(value, at: offset) >> 31 == 1
      link = Link(node: index, bit: bit)
      index = nodes[Int(index)].child(bit)
    }
    if isFull && link.node != 0 {
      nodes[Int(link.node)].uncharted += 1
    } else {
      append(value, from: offset, to: length, at: link)
    }
  }

  private var isFull: Bool { free == 0 && nodes.count >= capacity }

  /// Nodes, also unused ones.
  var nodeCount: Int { nodes.count }

  /// Takes away what `insert` put there.
  mutating func remove(_ value: UInt128, length: Int) {
    var path: ContiguousArray<Link> = [Link()]
    var offset = 0
    var index = root
    while index != 0 {
      let node = nodes[Int(index)]
      let different = node.bits ^ Self.bits(value, at: offset)
      guard min(different.leadingZeroBitCount, length - offset) >= node.length else {
        index = 0
        break
      }
      offset += node.length
      if offset == length { break }
      let bit = Self.bits(value, at: offset) >> 31 == 1
      path.append(Link(node: index, bit: bit))
      index = nodes[Int(index)].child(bit)
    }
    if index != 0, offset == length, nodes[Int(index)].count > 0 {
      nodes[Int(index)].count -= 1
    } else {
      // It has no node. Of several places on its way where such are counted any will do: each of the others is still
      // counted on its own way.
      repeat {
        guard let link = path.popLast() else { return }
        index = link.node
      } while nodes[Int(index)].uncharted == 0
      nodes[Int(index)].uncharted -= 1
    }
    prune(index, path)
  }

  /// Takes away what no longer carries anything, from a node towards the root.
  ///
  /// - Parameter path: the links to the node.
  private mutating func prune(_ index: UInt32, _ path: ContiguousArray<Link>) {
    var path = path
    var index = index
    while let link = path.popLast() {
      let node = nodes[Int(index)]
      guard node.count == 0, node.uncharted == 0 else { return }
      if node.zero != 0 && node.one != 0 { return }
      let child = node.zero | node.one
      if child == 0 {
        set(link, to: 0)
      } else {
        guard node.length + nodes[Int(child)].length <= 32 else { return }
        nodes[Int(child)].bits = node.bits | nodes[Int(child)].bits &>> UInt32(node.length)
        nodes[Int(child)].length += node.length
        set(link, to: child)
      }
      release(index)
      guard link.node != 0 else { return }
      index = link.node
    }
  }

  /// Where a node hangs: at a bit of another; or at nobody's: at the root.
  private struct Link {
    var node: UInt32 = 0
    var bit = false
  }

  private mutating func set(_ link: Link, to index: UInt32) {
    if link.node == 0 {
      root = index
    } else if link.bit {
      nodes[Int(link.node)].one = index
    } else {
      nodes[Int(link.node)].zero = index
    }
  }

  /// Makes two nodes of one: `count` bits, and the rest below. Returns the upper one.
  private mutating func split(_ index: UInt32, after count: Int, at link: Link) -> UInt32 {
    let node = nodes[Int(index)]
    var upper = Node(bits: count == 0 ? 0 : node.bits & ~(UInt32.max &>> UInt32(count)), length: count)
    let lowerBits = node.bits &<< UInt32(count)
    nodes[Int(index)].bits = lowerBits
    nodes[Int(index)].length = node.length - count
    if lowerBits >> 31 == 1 { upper.one = index } else { upper.zero = index }
    let made = make(upper)
    set(link, to: made)
    return made
  }

  /// Adds the bits from `offset` to `length` as new nodes.
  private mutating func append(_ value: UInt128, from offset: Int, to length: Int, at link: Link) {
    var link = link
    var offset = offset
    while offset < length {
      let count = min(length - offset, 32)
      let mask = count == 32 ? UInt32.max : ~(UInt32.max &>> UInt32(count))
      var node = Node(bits: Self.bits(value, at: offset) & mask, length: count)
      offset += count
      node.count = offset == length ? 1 : 0
      let index = make(node)
      set(link, to: index)
      if offset < length { link = Link(node: index, bit: Self.bits(value, at: offset) >> 31 == 1) }
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
    nodes[Int(index)] = Node(bits: 0, length: 0, zero: free)
    free = index
  }
}
