// The form of a frame
// ===================
//
// What the fields are now, against what they were when the frame was received, is a `Rewrite`. Of the tags those that
// are as received stay on the frame, from the innermost outwards; what is outside of them is taken off, and what is to
// be there instead put on. A tag that is put on is known in all its bits, so all that come from the frame are read.

extension Execution {
  /// The index of the rewrite that brings a received frame into the form that the fields have now; nil: there are too
  /// many, which is a failure.
  mutating func rewriteIndex() -> Int? {
    if let currentRewrite { return currentRewrite }
    let rewrite = makeRewrite()
    if let index = outcome.rewrites.firstIndex(of: rewrite) {
      currentRewrite = index
    } else if outcome.rewrites.count < limits.rewrites {
      outcome.rewrites.append(rewrite)
      currentRewrite = outcome.rewrites.count - 1
    } else {
      fail("more than \(limits.rewrites) forms of the frame")
    }
    return currentRewrite
  }

  private mutating func makeRewrite() -> Rewrite {
    var rewrite = Rewrite()
    let tags = makeTags(of: &rewrite)
    let hasNetworkHeader = writesNetworkHeader && hasNetworkHeader()
    for word in FlowWord.ethernetDestination..<FlowWords.packetCount {
      var bits = headers.written[word]
      switch word {
      case FlowWord.tags: bits = tags
      case FlowWord.ethernetDestination: bits &= hasNetworkHeader ? .max : Self.ethernetBits
      case FlowWord.ethernetSource: break
      default: bits = hasNetworkHeader ? bits : 0
      }
      // What every frame of this program had there in any case is not written.
      let known = outcome.mask[word] & ~(headers.key[word] ^ received[word])
      bits &= ~known
      rewrite.mask[word] = bits
      rewrite.value[word] = headers.key[word] & bits
    }
    return rewrite
  }

  private static var ethernetBits: UInt64 { ~0xFFFF }

  private var writesNetworkHeader: Bool {
    if headers.written[FlowWord.ethernetDestination] & ~Self.ethernetBits != 0 { return true }
    return (FlowWord.ipv4..<FlowWords.packetCount).contains { headers.written[$0] != 0 }
  }

  /// A frame whose header is cut off has protocol 0 (as has IPv4's protocol of that number, which Open vSwitch does not
  /// rewrite for that reason; ARP likewise).
  private mutating func hasNetworkHeader() -> Bool { read(0xFF00, of: FlowWord.ethernetDestination) != 0 }

  // MARK: Tags

  /// Sets what is popped and pushed.
  ///
  /// - Returns: the bits of the outer tag that are written in place.
  private mutating func makeTags(of rewrite: inout Rewrite) -> UInt64 {
    let written = headers.written[FlowWord.tags]
    if headers.hasTagsInPlace && written == 0 { return 0 }
    if let first = firstUntouchedTag {
      rewrite.poppedTags = first
      return 0
    }
    if headers.outerTag == nil, let inner = headers.innerTag, written & Tags.inner == 0, hasOuterTag() {
      rewrite.poppedTags = inner
      rewrite.pushedTags = [readTag(isOuter: true)]
      return 0
    }
    let present = hasOuterTag()
    if headers.hasTagsInPlace && present && hasReceivedTag(0) { return written & Tags.outerContents }

    let receivedCount = countReceivedTags()
    let count = !present ? 0 : read(Tags.innerPresent, of: FlowWord.tags) == 0 ? 1 : 2
    var kept = 0
    while kept < min(count, receivedCount),
      isAsReceived(isOuter: count - 1 - kept == 0, receivedCount - 1 - kept)
    {
      kept += 1
    }
    rewrite.poppedTags = receivedCount - kept
    rewrite.pushedTags = (0..<count - kept).reversed().map { readTag(isOuter: $0 == 0) }
    return 0
  }

  /// The first received tag that is left, if all from it on are as received and there are no others.
  private var firstUntouchedTag: Int? {
    guard let first = headers.outerTag, headers.written[FlowWord.tags] & Tags.outer == 0 else { return nil }
    if let inner = headers.innerTag {
      return inner == first + 1 && headers.written[FlowWord.tags] & Tags.inner == 0 ? first : nil
    }
    return headers.key[FlowWord.tags] & Tags.innerPresent == 0 ? first : nil
  }

  private func isAsReceived(isOuter: Bool, _ tag: Int) -> Bool {
    (isOuter ? headers.outerTag : headers.innerTag) == tag
      && headers.written[FlowWord.tags] & (isOuter ? Tags.outer : Tags.inner) == 0
  }

  private mutating func countReceivedTags() -> Int { !hasReceivedTag(0) ? 0 : hasReceivedTag(1) ? 2 : 1 }

  /// Whether the frame had an outer tag (0), or an inner one (1), when it was received.
  mutating func hasReceivedTag(_ tag: Int) -> Bool {
    let bit = tag == 0 ? Tags.outerPresent : Tags.innerPresent
    outcome.mask[FlowWord.tags] |= bit
    return received[FlowWord.tags] & bit != 0
  }

  /// As `Rewrite.pushedTags` has it.
  private mutating func readTag(isOuter: Bool) -> UInt32 {
    let bits = read(isOuter ? Tags.outer : Tags.inner, of: FlowWord.tags)
    let tag = UInt32(truncatingIfNeeded: isOuter ? bits >> 32 : bits) & ~Tags.presenceInTCI
    return tag >> 16 == 0 ? tag | Tags.defaultTPID << 16 : tag
  }
}
