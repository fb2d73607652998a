// Reads and writes
// ================
//
// What is not read here is not depended on, so actions read and write fields by these functions only.

extension Field {
  /// The bits that `bits` of a value are in the key; of 128-bit fields the upper half is in `word`, the lower in the
  /// next.
  func placed(_ bits: UInt128) -> (word: Int, first: UInt64, second: UInt64) {
    let info = self.info
    if info.storedWidth == 128 {
      return (
        info.word, UInt64(truncatingIfNeeded: bits >> 64), UInt64(truncatingIfNeeded: bits)
      )
    }
    // The two low bits of nw_tos are another field's.
    let own = bits & storedMaximum & (self == .ipTOS ? 0xFC : .max)
    return (info.word, UInt64(truncatingIfNeeded: own) << UInt64(info.shift), 0)
  }
}

extension Execution {
  /// Adds bits of the key to what is depended on, as far as they are as received.
  mutating func depend(on bits: UInt64, of word: Int) {
    guard word < FlowWords.packetCount else { return }
    outcome.mask[word] |= headers.received(bits, of: word)
  }

  /// The bits of `word` that are set in `bits`, at their place.
  mutating func read(_ bits: UInt64, of word: Int) -> UInt64 {
    depend(on: bits, of: word)
    return headers.key[word] & bits
  }

  mutating func read(_ source: SubField) -> UInt128 {
    let place = source.field.placed(source.fieldMask)
    depend(on: place.first, of: place.word)
    if place.second != 0 { depend(on: place.second, of: place.word + 1) }
    let value = source.read(headers.key)
    return source.field == .ipTOS ? value & ~(0b11 >> UInt128(min(source.offset, 2))) : value
  }

  mutating func read(_ field: Field) -> UInt128 { read(SubField(field)) }

  /// The port the frame came from, as the pipeline has it.
  mutating func readInPort() -> PortNumber { PortNumber(UInt16(truncatingIfNeeded: read(.inPort))) }

  /// Writes the bits of `field` that are set in `mask`, if the frame has that field and actions may write it.
  mutating func write(_ field: Field, _ value: UInt128, mask: UInt128 = .max) {
    guard field.info.isWritable else { return note("\(field.info.name) cannot be written: nothing done") }
    guard meets(field.info.prerequisite) else {
      return note("the frame has no \(field.info.name): nothing done")
    }
    let bits = field.placed(mask)
    let values = field.placed(value)
    writeBits(values.first, to: bits.word, mask: bits.first)
    if bits.second != 0 { writeBits(values.second, to: bits.word + 1, mask: bits.second) }
  }

  mutating func write(_ destination: SubField, _ value: UInt128) {
    write(destination.field, value << UInt128(destination.offset), mask: destination.fieldMask)
  }

  /// Without asking for prerequisites.
  mutating func writeBits(_ value: UInt64, to word: Int, mask: UInt64) {
    headers.write(value, to: word, mask: mask)
    if word < FlowWords.packetCount { currentRewrite = nil }
  }

  // MARK: What a frame has

  /// Whether the frame has what `prerequisite` asks for, as its fields are now.
  mutating func meets(_ prerequisite: Prerequisite) -> Bool {
    switch prerequisite {
    case .none: true
    case .vlan: hasOuterTag()
    case .arp: hasType(0x0806, or: 0x8035)
    case .ipv4: hasType(0x0800)
    case .ipv6: hasType(0x86DD)
    case .ip: hasType(0x0800, or: 0x86DD)
    case .tcp: meets(.ip) && hasTransport(6)
    case .udp: meets(.ip) && hasTransport(17)
    case .sctp: meets(.ip) && hasTransport(132)
    case .icmpv4: meets(.ipv4) && hasTransport(1)
    case .icmpv6: meets(.ipv6) && hasTransport(58)
    case .neighbor: hasNeighbor(135, or: 136)
    case .neighborSolicitation: hasNeighbor(135)
    case .neighborAdvertisement: hasNeighbor(136)
    }
  }

  mutating func hasOuterTag() -> Bool { read(Tags.outerPresent, of: FlowWord.tags) != 0 }

  private mutating func hasType(_ type: UInt64, or other: UInt64? = nil) -> Bool {
    let own = read(0xFFFF, of: FlowWord.inPort)
    return own == type || own == other
  }

  /// Whether it has a header of that protocol: fragments but the first have none.
  mutating func hasTransport(_ number: UInt64) -> Bool {
    read(0xFF00, of: FlowWord.ethernetDestination) == number << 8
      && read(Self.laterFragment, of: FlowWord.ethernetDestination) == 0
  }

  private mutating func hasNeighbor(_ type: UInt128, or other: UInt128? = nil) -> Bool {
    guard meets(.icmpv6) else { return false }
    let own = read(.icmpv6Type)
    return (own == type || own == other) && read(.icmpv6Code) == 0
  }

  /// Of `nw_frag`: it is not the first fragment.
  static var laterFragment: UInt64 { 2 }
}
