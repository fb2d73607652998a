/// Which frames a flow is for: for every bit of the key, its value, or that it does not matter.
public struct Match: Hashable, Sendable {
  /// Zero wherever `mask` is.
  public private(set) var value: FlowWords
  public private(set) var mask: FlowWords

  /// Every frame.
  public init() {
    value = FlowWords()
    mask = FlowWords()
  }

  /// - Parameter value: its bits outside of `mask` are ignored.
  public init(value: FlowWords, mask: FlowWords) {
    self.value = value & mask
    self.mask = mask
  }

  public var isEverything: Bool { mask.isZero }

  /// Asks for `value` in the bits of `field` that are set in `mask`. Bits already asked for are replaced.
  public mutating func set(_ field: Field, _ value: UInt128, mask bits: UInt128 = .max) {
    let limited = bits & field.storedMaximum
    mask[field] |= limited
    self.value[field] = self.value[field] & ~limited | value & limited
  }

  /// Asks for the low bits of `value` there.
  public mutating func set(_ bits: SubField, _ value: UInt128) {
    set(bits.field, value << UInt128(bits.offset), mask: bits.fieldMask)
  }

  /// Asks nothing of `field` any longer.
  public mutating func clear(_ field: Field) {
    mask[field] = 0
    value[field] = 0
  }

  /// The value and mask of `field`; nil when the match does not ask for any of it.
  public func get(_ field: Field) -> (value: UInt128, mask: UInt128)? {
    let bits = mask[field]
    return bits == 0 ? nil : (value[field], bits)
  }

  /// The value of `field`, if the match asks for all of it.
  public func exact(_ field: Field) -> UInt128? {
    mask[field] == field.storedMaximum ? value[field] : nil
  }

  @inlinable
  public func matches(_ key: FlowWords) -> Bool { key.agrees(with: value, in: mask) }

  /// Whether there can be a frame that both match.
  @inlinable
  public func overlaps(_ other: Match) -> Bool { value.agrees(with: other.value, in: mask & other.mask) }

  /// Whether every frame that matches is matched by `other`: what loose modifications and deletions select by
  /// (OpenFlow 1.5 §6.4).
  @inlinable
  public func isCovered(by other: Match) -> Bool {
    other.mask.isSubset(of: mask) && value.agrees(with: other.value, in: other.mask)
  }
}

// What a match has to say before a field makes sense.
extension Match {
  public static let ipv4Type: UInt128 = 0x0800
  public static let ipv6Type: UInt128 = 0x86DD
  public static let arpType: UInt128 = 0x0806
  public static let rarpType: UInt128 = 0x8035

  /// Whether the match asks for what `prerequisite` needs.
  public func satisfies(_ prerequisite: Prerequisite) -> Bool {
    let type = exact(.ethernetType)
    func transport(_ number: UInt128) -> Bool {
      // A later fragment has no transport header.
      (type == Self.ipv4Type || type == Self.ipv6Type) && exact(.ipProtocol) == number && !isLaterFragment
    }
    func neighbor(_ types: [UInt128]) -> Bool {
      type == Self.ipv6Type && exact(.ipProtocol) == 58 && !isLaterFragment
        && (exact(.icmpv6Code) ?? 0) == 0 && exact(.icmpv6Type).map { types.contains($0) } == true
    }
    switch prerequisite {
    case .none: return true
    case .vlan: return mask[.vlanTCI] & value[.vlanTCI] & 0x1000 != 0
    case .arp: return type == Self.arpType || type == Self.rarpType
    case .ipv4: return type == Self.ipv4Type
    case .ipv6: return type == Self.ipv6Type
    case .ip: return type == Self.ipv4Type || type == Self.ipv6Type
    case .tcp: return transport(6)
    case .udp: return transport(17)
    case .sctp: return transport(132)
    case .icmpv4: return type == Self.ipv4Type && transport(1)
    case .icmpv6: return type == Self.ipv6Type && transport(58)
    case .neighbor: return neighbor([135, 136])
    case .neighborSolicitation: return neighbor([135])
    case .neighborAdvertisement: return neighbor([136])
    }
  }

  private var isLaterFragment: Bool { mask[.ipFragment] & value[.ipFragment] & 2 != 0 }
}

extension Field {
  /// All bits kept of a value.
  public var storedMaximum: UInt128 { .ones(info.storedWidth) }
}
