import Linux
import Virtio

/// Every request served: what it carries, which feature it belongs to, when it is legal, what it does.
enum RequestTable {
  enum Reply {
    case done
    case payload([UInt8])
    /// Refused without harm: the front-end may go on.
    case failed(String)
  }

  typealias Handler = @Sendable (Session, Message) throws(SessionError) -> Reply

  struct Entry: Sendable {
    /// Bytes of payload.
    var payload: ClosedRange<Int>
    /// Whether descriptors may come along; their number is for the handler to check.
    var takesDescriptors = false
    /// What has to be negotiated before.
    var needs: ProtocolFeatures = []
    var phases = Set(Session.Phase.allCases)
    /// Whether poll threads have to let go of rings and memory first.
    var quiesces = true
    let handler: Handler
  }

  private static let none = 0...0
  private static let u64 = 8...8
  private static let vringState = VringState.length...VringState.length
  private static let vringAddresses = VringAddresses.length...VringAddresses.length
  private static let memoryTable = 8...Message.maximumPayload
  private static let memoryRegion = 8 + GuestRegionDescription.length...8 + GuestRegionDescription.length
  private static let logDescription = 16...16
  private static let configuration = ConfigurationRange.length...Message.maximumPayload

  static let entries: [Request: Entry] = [
    .getFeatures: answer { session, _ in .payload(littleEndian(session.offeredFeatures.rawValue)) },
    .setFeatures: Entry(payload: u64) { session, message throws(SessionError) in
      try session.setFeatures(message)
    },
    .getProtocolFeatures: answer { session, _ in
      .payload(littleEndian(session.offeredProtocolFeatures.rawValue))
    },
    .setProtocolFeatures: Entry(payload: u64, phases: [.negotiating, .configured]) {
      session, message throws(SessionError) in try session.setProtocolFeatures(message)
    },
    .setOwner: answer { _, _ in .done },
    .resetOwner: Entry(payload: none) { session, _ in session.resetOwner() },
    .resetDevice: Entry(payload: none, needs: .resetDevice) { session, _ in session.resetDevice() },
    .setStatus: Entry(payload: u64, needs: .status) { session, message throws(SessionError) in
      try session.setStatus(message)
    },
    .getStatus: answer(.status) { session, _ in .payload(littleEndian(UInt64(session.status.rawValue))) },

    .setMemoryTable: Entry(payload: memoryTable, takesDescriptors: true) {
      session, message throws(SessionError) in try session.setMemoryTable(message)
    },
    .getMaximumMemorySlots: answer(.memorySlots) { _, _ in
      .payload(littleEndian(UInt64(GuestMemory.maximumRegions)))
    },
    .addMemoryRegion: Entry(payload: memoryRegion, takesDescriptors: true, needs: .memorySlots) {
      session, message throws(SessionError) in try session.addMemoryRegion(message)
    },
    .removeMemoryRegion: Entry(payload: memoryRegion, takesDescriptors: true, needs: .memorySlots) {
      session, message throws(SessionError) in try session.removeMemoryRegion(message)
    },
    .setLogBase: Entry(payload: logDescription, takesDescriptors: true, needs: .logSharing) {
      session, message throws(SessionError) in try session.setLogBase(message)
    },
    .setLogDescriptor: Entry(payload: none, takesDescriptors: true, needs: .logSharing, quiesces: false) {
      session, message throws(SessionError) in try session.setLogDescriptor(message)
    },

    .getQueueCount: answer(.multiqueue) { session, _ in .payload(littleEndian(UInt64(session.queuePairs))) },
    .setVringSize: Entry(payload: vringState) { session, message throws(SessionError) in
      try session.setVringSize(message)
    },
    .setVringAddress: Entry(payload: vringAddresses) { session, message throws(SessionError) in
      try session.setVringAddress(message)
    },
    .setVringBase: Entry(payload: vringState) { session, message throws(SessionError) in
      try session.setVringBase(message)
    },
    .getVringBase: Entry(payload: vringState) { session, message throws(SessionError) in
      try session.getVringBase(message)
    },
    .setVringKick: Entry(payload: u64, takesDescriptors: true, phases: [.configured, .running]) {
      session, message throws(SessionError) in try session.setVringKick(message)
    },
    .setVringCall: Entry(payload: u64, takesDescriptors: true) { session, message throws(SessionError) in
      try session.setVringCall(message)
    },
    .setVringError: Entry(payload: u64, takesDescriptors: true) { session, message throws(SessionError) in
      try session.setVringError(message)
    },
    .setVringEnable: Entry(payload: vringState) { session, message throws(SessionError) in
      try session.setVringEnable(message)
    },

    .netSetMTU: Entry(payload: u64, needs: .netMTU) { session, message in session.setMTU(message) },
    .sendRARP: Entry(payload: u64, needs: .announcement, quiesces: false) { session, message in
      session.sendRARP(message)
    },
    .getConfig: Entry(payload: configuration, needs: .configuration, quiesces: false) {
      session, message throws(SessionError) in try session.getConfiguration(message)
    },
    .setConfig: Entry(payload: configuration, needs: .configuration, quiesces: false) {
      session, message throws(SessionError) in try session.setConfiguration(message)
    },

    .setBackendRequestDescriptor: Entry(
      payload: none, takesDescriptors: true, needs: .backendRequests, quiesces: false
    ) { session, message throws(SessionError) in try session.setBackendChannel(message) },
    .iotlbMessage: Entry(
      payload: TranslationMessage.lengths, needs: .backendRequests, quiesces: false
    ) { session, message throws(SessionError) in try session.changeTranslations(message) },
  ]

  /// Requests whose sender waits for more than an acknowledgement.
  static let withAnswer: Set<Request> = [
    .getQueueCount, .getConfig, .createCryptoSession, .postcopyAdvise, .getInflightDescriptor,
    .getMaximumMemorySlots, .getStatus, .getSharedObject, .setDeviceState, .checkDeviceState,
  ]

  /// A request without payload that changes nothing a poll thread uses.
  private static func answer(_ needs: ProtocolFeatures = [], _ handler: @escaping Handler) -> Entry {
    Entry(payload: none, needs: needs, quiesces: false, handler: handler)
  }
}

extension RequestTable.Entry {
  /// Everything about a message that does not depend on what it says.
  func check(_ message: Message, _ phase: Session.Phase) throws(SessionError) {
    guard payload.contains(message.payload.count) else {
      throw .violation(
        "\(message.requestName) has \(message.payload.count) bytes of payload instead of \(payload.lowerBound)"
      )
    }
    guard takesDescriptors || message.descriptors.isEmpty else {
      throw .violation("\(message.requestName) came with file descriptors, which it does not take")
    }
    guard phases.contains(phase) else {
      throw .violation("\(message.requestName) is not allowed while \(phase)")
    }
  }
}
