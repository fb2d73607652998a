import Linux
import Virtio

/// Every request served: what it carries, when it is legal, what it does.
enum RequestTable {
  enum Payload {
    case none, u64, vringState, vringAddresses, memoryTable
  }

  enum Reply {
    case done
    case payload([UInt8])
    /// Refused without harm: the front-end may go on.
    case failed(String)
  }

  struct Entry: Sendable {
    let payload: Payload
    /// Whether descriptors may come along; their number is for the handler to check.
    let takesDescriptors: Bool
    let phases: Set<Session.Phase>
    /// Whether poll threads have to let go of rings and memory first.
    let quiesces: Bool
    let handler: @Sendable (Session, Message) throws(SessionError) -> Reply
  }

  static let entries: [Request: Entry] = [
    .getFeatures: answer { session, _ in .payload(littleEndian(session.offeredFeatures.rawValue)) },
    .setFeatures: change(.u64) { session, message throws(SessionError) in try session.setFeatures(message) },
    .setOwner: answer { _, _ in .done },
    .resetOwner: change(.none) { session, _ in session.resetOwner() },
    .setMemoryTable: change(.memoryTable, descriptors: true) { session, message throws(SessionError) in
      try session.setMemoryTable(message)
    },
    .setVringSize: change(.vringState) { session, message throws(SessionError) in
      try session.setVringSize(message)
    },
    .setVringAddress: change(.vringAddresses) { session, message throws(SessionError) in
      try session.setVringAddress(message)
    },
    .setVringBase: change(.vringState) { session, message throws(SessionError) in
      try session.setVringBase(message)
    },
    .getVringBase: change(.vringState) { session, message throws(SessionError) in
      try session.getVringBase(message)
    },
    .setVringKick: change(.u64, descriptors: true, [.configured, .running]) {
      session, message throws(SessionError) in
      try session.setVringKick(message)
    },
    .setVringCall: change(.u64, descriptors: true) { session, message throws(SessionError) in
      try session.setVringCall(message)
    },
    .setVringError: change(.u64, descriptors: true) { session, message throws(SessionError) in
      try session.setVringError(message)
    },
    .getProtocolFeatures: answer { session, _ in
      .payload(littleEndian(session.offeredProtocolFeatures.rawValue))
    },
    .setProtocolFeatures: change(.u64, [.negotiating, .configured]) { session, message throws(SessionError) in
      try session.setProtocolFeatures(message)
    },
    .getQueueCount: answer { _, _ in .payload(littleEndian(UInt64(Session.queuePairs))) },
    .setVringEnable: change(.vringState) { session, message throws(SessionError) in
      try session.setVringEnable(message)
    },
    .netSetMTU: change(.u64) { session, message in session.setMTU(message) },
    .setStatus: change(.u64) { session, message throws(SessionError) in try session.setStatus(message) },
    .getStatus: answer { session, _ in .payload(littleEndian(UInt64(session.status.rawValue))) },
  ]

  /// Requests of features never offered whose sender waits for more than an acknowledgement.
  static let unofferedWithAnswer: Set<Request> = [
    .getConfig, .createCryptoSession, .postcopyAdvise, .getInflightDescriptor, .getMaximumMemorySlots,
    .getSharedObject, .setDeviceState, .checkDeviceState,
  ]

  /// A request without payload that changes nothing a poll thread uses.
  private static func answer(
    _ handler: @escaping @Sendable (Session, Message) throws(SessionError) -> Reply
  ) -> Entry {
    Entry(
      payload: .none, takesDescriptors: false, phases: Set(Session.Phase.allCases), quiesces: false,
      handler: handler)
  }

  private static func change(
    _ payload: Payload, descriptors: Bool = false, _ phases: Set<Session.Phase> = Set(Session.Phase.allCases),
    _ handler: @escaping @Sendable (Session, Message) throws(SessionError) -> Reply
  ) -> Entry {
    Entry(
      payload: payload, takesDescriptors: descriptors, phases: phases, quiesces: true, handler: handler)
  }
}

extension RequestTable.Entry {
  /// Everything about a message that does not depend on what it says.
  func check(_ message: Message, _ phase: Session.Phase) throws(SessionError) {
    let expected: Int? =
      switch payload {
      case .none: 0
      case .u64: 8
      case .vringState: VringState.length
      case .vringAddresses: VringAddresses.length
      case .memoryTable: nil
      }
    if let expected, message.payload.count != expected {
      throw .violation(
        "\(message.requestName) has \(message.payload.count) bytes of payload instead of \(expected)")
    }
    guard takesDescriptors || message.descriptors.isEmpty else {
      throw .violation("\(message.requestName) came with file descriptors, which it does not take")
    }
    guard phases.contains(phase) else {
      throw .violation("\(message.requestName) is not allowed while \(phase)")
    }
  }
}
