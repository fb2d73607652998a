// What messages carry, field by field. All numbers are little-endian; lengths have been checked by the request table.

import Virtio

/// `struct vhost_vring_state`: an index and a number.
public struct VringState: Equatable, Sendable {
  public static let length = 8

  public var index: UInt32
  public var number: UInt32

  public init(index: UInt32, number: UInt32) {
    self.index = index
    self.number = number
  }

  public init(_ message: Message) {
    self.init(index: message.word(0), number: message.word(4))
  }

  public var bytes: [UInt8] { littleEndian(index) + littleEndian(number) }
}

/// `struct vhost_vring_addr`: where a ring's parts lie, in the front-end's virtual addresses.
public struct VringAddresses: Equatable, Sendable {
  public static let length = 40

  public var index: UInt32
  public var flags: UInt32
  public var descriptors: UInt64
  public var used: UInt64
  public var available: UInt64
  public var log: UInt64

  public init(
    index: UInt32, descriptors: UInt64, used: UInt64, available: UInt64, flags: UInt32 = 0, log: UInt64 = 0
  ) {
    self.index = index
    self.flags = flags
    self.descriptors = descriptors
    self.used = used
    self.available = available
    self.log = log
  }

  public init(_ message: Message) {
    self.init(
      index: message.word(0), descriptors: message.word(8), used: message.word(16),
      available: message.word(24), flags: message.word(4), log: message.word(32))
  }

  public var bytes: [UInt8] {
    littleEndian(index) + littleEndian(flags) + littleEndian(descriptors) + littleEndian(used)
      + littleEndian(available) + littleEndian(log)
  }
}

/// The number with which SET_VRING_KICK, CALL and ERR name a ring; bit 8 says that no descriptor comes along.
public struct VringDescriptorIndex: Equatable, Sendable {
  public static let noDescriptor: UInt64 = 0x100

  public var word: UInt64
  public init(word: UInt64) { self.word = word }
  public init(_ message: Message) { word = message.word(0) }

  public var hasDescriptor: Bool { word & Self.noDescriptor == 0 }
  /// At full width: bits nobody defined make it an index no device has.
  public var index: UInt64 { word & ~Self.noDescriptor }
}

/// A memory region, in SET_MEM_TABLE, ADD_MEM_REG and REM_MEM_REG.
extension GuestRegionDescription {
  public static let length = 32

  init(_ message: Message, at offset: Int) {
    self.init(
      guestAddress: message.word(offset), size: message.word(offset + 8),
      userAddress: message.word(offset + 16), fileOffset: message.word(offset + 24))
  }

  public var bytes: [UInt8] {
    littleEndian(guestAddress) + littleEndian(size) + littleEndian(userAddress) + littleEndian(fileOffset)
  }
}

/// `struct vhost_iotlb_msg`: a range of I/O virtual addresses, and what about it.
public struct TranslationMessage: Equatable, Sendable {
  /// Its fields end at 26; the C structure has padding behind them.
  public static let lengths = 26...32

  public enum Kind: UInt8, Sendable {
    case miss = 1
    case update = 2
    case invalidate = 3
    case accessFail = 4
  }

  public var address: UInt64
  public var size: UInt64
  /// The front-end's virtual address, in an update.
  public var user: UInt64
  public var permissions: UInt8
  /// A `Kind`, unless the peer is of another mind.
  public var kind: UInt8

  public init(
    _ kind: Kind, address: UInt64, size: UInt64 = 0, user: UInt64 = 0, permissions: UInt8 = 0
  ) {
    self.address = address
    self.size = size
    self.user = user
    self.permissions = permissions
    self.kind = kind.rawValue
  }

  public init(_ message: Message) {
    address = message.word(0)
    size = message.word(8)
    user = message.word(16)
    permissions = message.word(24)
    kind = message.word(25)
  }

  public var bytes: [UInt8] {
    littleEndian(address) + littleEndian(size) + littleEndian(user) + [permissions, kind]
      + [UInt8](repeating: 0, count: 6)
  }
}

/// The part of the device's configuration that GET_CONFIG or SET_CONFIG is about; its bytes follow.
public struct ConfigurationRange: Equatable, Sendable {
  public static let length = 12
  /// VHOST_SET_CONFIG_TYPE_MIGRATION: set on behalf of a guest that came from elsewhere.
  public static let migration: UInt32 = 1

  public var offset: UInt32
  public var size: UInt32
  public var flags: UInt32

  public init(offset: UInt32, size: UInt32, flags: UInt32 = 0) {
    self.offset = offset
    self.size = size
    self.flags = flags
  }

  public init(_ message: Message) {
    self.init(offset: message.word(0), size: message.word(4), flags: message.word(8))
  }

  public var bytes: [UInt8] { littleEndian(offset) + littleEndian(size) + littleEndian(flags) }
}
