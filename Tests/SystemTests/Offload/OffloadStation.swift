import Packet
import PacketTesting
import Virtio

/// A kind of port, as far as offloads go.
enum OffloadKind: String, CaseIterable {
  /// A guest with every offload there is and mergeable buffers.
  case all
  /// A guest that does checksums only, in chains of small buffers.
  case checksum = "csum"
  /// A guest with no offload.
  case none
  case tap
  case `internal` = "int"
  /// A system port on a device with every offload.
  case veth
  /// A system port on a device that, like a simple NIC, can neither checksum nor segment, and merges what it receives.
  case nic

  /// What arrives unfinished at a port of this kind.
  var accepts: OffloadCapabilities {
    switch self {
    case .all, .tap, .internal, .veth: OffloadCapabilities.all.subtracting(.udpFragment)
    case .checksum: .checksum
    case .none, .nic: []
    }
  }

  /// What its far side may leave to be done.
  var requests: OffloadCapabilities { accepts }

  /// Whether segments arrive at the switch as if over a wire.
  var isWire: Bool { self == .nic }

  var features: VirtioFeatures? {
    let checksums: VirtioFeatures = [.version1, .checksum, .guestChecksum]
    switch self {
    case .all:
      return checksums.union([
        .mergeableReceiveBuffers, .indirectDescriptors, .eventIndex, .guestTSO4, .guestTSO6, .guestECN,
        .hostTSO4, .hostTSO6, .hostECN, .guestUSO4, .guestUSO6, .hostUSO,
      ])
    case .checksum: return checksums
    case .none: return .version1
    default: return nil
    }
  }

  /// Lengths of the buffers of a guest's receive chain, for frames of an MTU up to 9,000.
  var receiveBuffers: [Int] {
    switch self {
    case .all: [2048]
    case .checksum: [12, 3000, 7000]
    default: [9100]
    }
  }
}

/// A port of a kind, seen from its far side.
final class OffloadStation {
  private enum End {
    case guest(VirtualGuest)
    case kernel(FarEnd)
  }

  let kind: OffloadKind
  let port: String
  let mac: [UInt8]
  private let end: End

  init(_ kind: OffloadKind, port: String, number: UInt8, guest: VirtualGuest) {
    self.kind = kind
    self.port = port
    mac = [2, 0, 0, 0, 1, number]
    end = .guest(guest)
  }

  init(_ kind: OffloadKind, port: String, number: UInt8, farEnd: FarEnd) {
    self.kind = kind
    self.port = port
    mac = [2, 0, 0, 0, 1, number]
    end = .kernel(farEnd)
  }

  var isGuest: Bool { kind.features != nil }

  /// Sends `packet`, leaving to be done what `request` says; over a wire go finished segments of `size`.
  func send(_ packet: ReferencePacket, _ request: Offload, size: Int?) throws {
    if kind.isWire {
      for segment in size.map({ packet.segments(size: $0) }) ?? [packet] {
        try send(segment.finished, .none)
      }
    } else {
      try send(request.needsChecksum ? packet.bytes : packet.finished, request)
    }
  }

  /// Sends packets of a guest so that all become visible at once.
  func sendTogether(_ packets: [(ReferencePacket, Offload)]) throws {
    guard case .guest(let guest) = end else { throw HarnessError("\(port) is no guest") }
    try guest.send(packets.map { ($1.needsChecksum ? $0.bytes : $0.finished, $1) })
  }

  func send(_ frame: [UInt8], _ offload: Offload) throws {
    switch end {
    case .guest(let guest): try guest.send([(frame, offload)])
    case .kernel(let farEnd): try farEnd.send(frame, offload)
    }
  }

  func receive() throws -> Arrival? {
    switch end {
    case .guest(let guest): guest.receive()
    case .kernel(let farEnd): try farEnd.receive()
    }
  }
}
