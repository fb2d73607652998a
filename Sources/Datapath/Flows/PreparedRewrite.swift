import Flow

/// A `Rewrite` as the packet path uses it: made once per cached program, trivial to copy and to keep in raw memory.
struct PreparedRewrite {
  /// New bits of a word of the key.
  struct Change {
    var kept: UInt64 = .max
    var value: UInt64 = 0

    @inline(__always) var isNothing: Bool { kept == .max }
    @inline(__always) func applied(to old: UInt64) -> UInt64 { old & kept | value }
  }

  /// Tags taken off, from the outside: 0 to 2.
  let poppedTags: Int
  /// Tags put on: 0 to 2.
  let pushedTags: Int
  /// They as they stand in the frame, the outer one in the upper half; one alone stands there too.
  let pushed: UInt64
  /// Both addresses.
  let changesEthernet: Bool
  /// The outer tag's TCI.
  let changesTag: Bool
  /// Anything behind the tags.
  let changesNetwork: Bool
  /// By word of the key; only bits that can be written are set in masks.
  private let changes: InlineArray<15, Change>

  @inline(__always)
  func change(_ word: Int) -> Change { changes[word] }

  init(_ rewrite: Rewrite) {
    poppedTags = min(max(rewrite.poppedTags, 0), 2)
    var pushed: UInt64 = 0
    // Innermost first: each pushes those before it inward.
    for tag in rewrite.pushedTags.prefix(2) { pushed = pushed >> 32 | UInt64(tag & ~0x1000) << 32 }
    self.pushed = pushed
    pushedTags = min(rewrite.pushedTags.count, 2)
    let keepsTags = poppedTags == 0 && pushedTags == 0
    var changes = InlineArray<15, Change>(repeating: Change())
    for word in 0..<FlowWords.packetCount {
      let mask = rewrite.mask[word] & Self.writable(word, keepsTags: keepsTags)
      changes[word] = Change(kept: ~mask, value: rewrite.value[word] & mask)
    }
    self.changes = changes
    let addresses: UInt64 = ~0xFFFF
    changesEthernet =
      ~changes[FlowWord.ethernetDestination].kept & addresses != 0
      || !changes[FlowWord.ethernetSource].isNothing
    changesTag = !changes[FlowWord.tags].isNothing
    var changesNetwork = ~changes[FlowWord.ethernetDestination].kept & ~addresses != 0
    for word in FlowWord.ipv4..<FlowWords.packetCount where !changes[word].isNothing { changesNetwork = true }
    self.changesNetwork = changesNetwork
  }

  /// The bits of a word that can be written.
  private static func writable(_ word: Int, keepsTags: Bool) -> UInt64 {
    switch word {
    case FlowWord.inPort: 0
    // Of IP the byte is the protocol, which stays; of ARP the operation.
    case FlowWord.ethernetDestination: ~0xFF
    case FlowWord.ethernetSource, FlowWord.arpSource, FlowWord.arpTarget: ~0xFFFF
    // Not the bit that says that there is a tag.
    case FlowWord.tags: keepsTags ? 0xEFFF << 32 : 0
    case FlowWord.transport: ~0xFFFF
    case FlowWord.ipv6Label: 0xF_FFFF << 32
    default: .max
    }
  }
}
