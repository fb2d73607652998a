// A frame's key as text: the FLOW argument of `ofproto/trace`. Every field is a value without a mask, and what is not
// named is 0.

extension FlowParser {
  /// Reads `in_port=1,tcp,nw_src=10.0.0.1,tp_dst=80`. A field has to be of a header that the frame is said to have.
  ///
  /// A frame with a tag has the TPID 0x8100.
  public func key(_ text: String) throws(FlowError) -> FlowWords {
    var parser = MatchParser(ports: ports)
    var named: [(pair: TextPair, field: Field)] = []
    var reader = TextReader(try limited(text))
    while let pair = reader.next() {
      guard !pair.key.contains(.bracket) else {
        throw FlowError(
          "\(pair.key.quoted): a frame has whole fields; give \(pair.key.prefix { $0 != .bracket }.shown)=VALUE"
        )
      }
      if let field = FieldName.short[pair.key.string] {
        named.append((pair, field))
        try requireExact(pair, field)
      }
      try parser.take(pair)
    }
    var frame = Match(value: parser.match.value, mask: ~FlowWords())
    if frame.value[.vlanTCI] != 0 {
      // Whoever names a VLAN means a tag.
      var words = frame.value
      words[3] |= 0x8100_1000 << 32
      frame = Match(value: words, mask: ~FlowWords())
    }
    for (pair, field) in named { try require(field, pair, in: frame) }
    return frame.value
  }

  private func requireExact(_ pair: TextPair, _ field: Field) throws(FlowError) {
    let value = try field.value(of: pair.value, ports: ports)
    guard value.mask & field.storedMaximum == field.wholeMask & field.storedMaximum else {
      throw FlowError("\(pair.description): a frame has values, not masks; give one value")
    }
  }

  private func require(_ field: Field, _ pair: TextPair, in frame: Match) throws(FlowError) {
    var prerequisites = [field.info.prerequisite]
    // Ports by their names of old are those of whichever protocol the frame is of.
    if pair.key.equals("tp_src") || pair.key.equals("tp_dst") { prerequisites += [.udp, .sctp] }
    if [.ipv4Source, .ipv4Destination, .ipProtocol].contains(field), !pair.key.starts(with: "ip".utf8) {
      prerequisites.append(.arp)
    }
    if field == .icmpType || field == .icmpCode { prerequisites.append(.icmpv6) }
    guard !prerequisites.contains(where: frame.satisfies) else { return }
    throw FlowError(
      "\(pair.description): this needs a frame that is \(field.info.prerequisite.words); name that, too")
  }
}
