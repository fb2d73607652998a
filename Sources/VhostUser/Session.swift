// The back-end's side of one vhost-user connection
// ================================================
//
// A Session reads requests, checks each against one table (RequestTable.swift: which payload, which descriptors, which
// feature it needs, when it is legal), and keeps what the front-end said: features, memory, rings, translations, the
// dirty log. It moves no frames. Its owner does, and is told before anything a poll thread may be using changes
// (`quiesce`) and after it has (`resume`).
//
// `process` handles the messages that have arrived as one change: poll threads are stopped before the first that needs
// it, and go on after the last. An answer leaves as soon as what it acknowledges is done. What a front-end waits for is
// always that something is *not* used any longer (memory, a ring, a translation), and that holds from `quiesce` on;
// nothing it may do next depends on frames moving again.
//
// Translations behind a vIOMMU come while frames move, so they do not stop poll threads: new ones are published, and
// those taken back are gone from every poll thread before that is acknowledged (SessionRequests+Translations.swift).
//
// Phases: *negotiating* until features are acknowledged, *configured* from then on, *running* while a ring is started.
// A violation throws out of `process`; the owner then drops the session, and with it every mapping and descriptor.

import Linux
import Packet
import Virtio

/// Who moves the frames of a session.
public protocol SessionOwner: AnyObject {
  /// On return no poll thread uses the session's memory, rings or descriptors, and `session.vrings` have the positions
  /// reached. Called again without a `resume` between it does nothing.
  func quiesce(_ session: Session)
  /// The session's state is consistent again: begin, go on, or stay stopped.
  func resume(_ session: Session) throws(SessionError)
  /// Returns when every poll thread has finished the turn it is in.
  func synchronize()
  /// `session.translations` has published other maps: rings that wait for a translation may go on.
  func translationsChanged(_ session: Session)
  /// The guest with this address has come here from elsewhere: let the network know.
  func announce(_ session: Session, address: MACAddress)
}

public final class Session {
  public enum Phase: Sendable, CaseIterable {
    case negotiating, configured, running
  }

  /// The most queue pairs a front-end can name: messages have eight bits for the ring.
  public static let maximumQueuePairs = 128

  public let connection: Connection
  /// What is offered to the front-end.
  public let offeredFeatures: VirtioFeatures
  public let offeredProtocolFeatures: ProtocolFeatures
  /// What it acknowledged; nil before it did.
  public internal(set) var features: VirtioFeatures?
  public internal(set) var protocolFeatures: ProtocolFeatures = []
  public internal(set) var memory: GuestMemory?
  /// Two for each queue pair: first the one the guest receives by, then the one it sends by.
  public var vrings: [Vring]
  public internal(set) var status: DeviceStatus = []
  /// NET_SET_MTU, in bytes.
  public internal(set) var mtu: Int?
  /// What GET_CONFIG answers.
  public internal(set) var configuration: DeviceConfiguration
  /// Present while ACCESS_PLATFORM is acknowledged: addresses of rings and buffers go through these.
  public internal(set) var translations: TranslationCache?

  weak var owner: (any SessionOwner)?
  var logMapping: DirtyLogMapping?
  var channel = BackendChannel()
  var misses = TranslationMisses()
  /// Parts of rings whose pages a vIOMMU scattered, in use until poll threads stop.
  var joinedParts: [(pieces: [JoinedMapping.Piece], mapping: JoinedMapping)] = []
  /// Rings that are only waiting for the translations of their addresses.
  var untranslated: Set<Int> = []
  /// Maps were published since the owner was last told.
  var translationsArePublished = false
  /// The owner has quiesced, and was not told to resume.
  private(set) var isQuiet = false

  /// - Parameter queuePairs: 1 to `maximumQueuePairs`; more or less is not taken.
  public init(
    _ connection: Connection, owner: any SessionOwner, features: VirtioFeatures = .implemented,
    protocolFeatures: ProtocolFeatures = .implemented, queuePairs: Int = maximumQueuePairs,
    configuration: DeviceConfiguration = DeviceConfiguration()
  ) {
    self.connection = connection
    self.owner = owner
    offeredFeatures = features
    offeredProtocolFeatures = protocolFeatures
    let queuePairs = min(max(1, queuePairs), Self.maximumQueuePairs)
    vrings = [Vring](repeating: Vring(), count: 2 * queuePairs)
    self.configuration = configuration
  }

  public var queuePairs: Int { vrings.count / 2 }

  /// Whether rings have the packed layout.
  public var isPacked: Bool { features?.contains(.packedRing) == true }

  public var phase: Phase {
    if features == nil { return .negotiating }
    return vrings.contains(where: \.isStarted) ? .running : .configured
  }

  /// The log of writes to guest memory; nil unless LOG_ALL is acknowledged and there is one. Valid until the owner is
  /// next told to quiesce, for the rings whose layouts were asked for before.
  public var dirtyLog: DirtyLog? {
    guard let memory, features?.contains(.logAll) == true else { return nil }
    return logMapping?.log(for: memory, joinedParts.map(\.mapping))
  }

  /// Whether frames may move on ring `index`.
  public func isUsable(_ index: Int) -> Bool { isServed(index) && isEnabled(index) }

  /// Whether ring `index` is started but was disabled: what comes in is taken, and goes nowhere.
  public func discards(_ index: Int) -> Bool {
    isServed(index) && vrings[index].isDisabled && !isEnabled(index)
  }

  private func isServed(_ index: Int) -> Bool {
    guard memory != nil, features != nil, vrings[index].isRunnable, !vrings[index].isDisplaced else {
      return false
    }
    return !protocolFeatures.contains(.status) || status.contains(.driverOK)
  }

  private func isEnabled(_ index: Int) -> Bool {
    if let features, !features.contains(.protocolFeatures) { return !vrings[index].isDisabled }
    return vrings[index].isEnabled
  }

  // MARK: messages

  /// Handles the messages that have arrived, a bounded number of them. Throws when the session is over.
  public func process() throws(SessionError) {
    for _ in 0..<64 {
      guard let message = try connection.receive() else { break }
      try handle(message)
    }
    showTranslations()
    channel.flush()
    guard isQuiet else { return }
    isQuiet = false
    try owner?.resume(self)
  }

  /// Poll threads let go of everything until the messages at hand are handled.
  func quiesce() {
    guard !isQuiet else { return }
    owner?.quiesce(self)
    isQuiet = true
    translations?.release()
    logMapping?.forgetLogs()
    joinedParts = []
  }

  private func handle(_ message: Message) throws(SessionError) {
    let wantsAck = message.flags.contains(.needReply) && protocolFeatures.contains(.replyAcknowledgement)
    guard message.flags.intersection(.versionMask) == .version1,
      message.flags.subtracting([.versionMask, .needReply]).isEmpty
    else {
      throw .violation("\(message.requestName) has unknown flags 0x\(hexadecimal(message.flags.rawValue))")
    }
    guard let request = Request(rawValue: message.request), let entry = RequestTable.entries[request],
      protocolFeatures.isSuperset(of: entry.needs)
    else { return try refuse(message, wantsAck: wantsAck) }
    let reply: RequestTable.Reply
    do {
      try entry.check(message, phase)
      if entry.quiesces { quiesce() }
      reply = try entry.handler(self, message)
    } catch {
      // The front-end learns of it, if it can still be told anything.
      if wantsAck { try? acknowledge(message, 1) }
      throw error
    }
    switch reply {
    case .payload(let bytes): try answer(message, bytes)
    case .done: if wantsAck { try acknowledge(message, 0) }
    case .failed(let reason):
      Log.warning("vhost-user", "\(message.requestName): \(reason)")
      if wantsAck { try acknowledge(message, 1) }
    }
  }

  /// A request that is unknown, or belongs to a feature that was not negotiated. One that waits for an answer other
  /// than an acknowledgement would wait for ever.
  private func refuse(_ message: Message, wantsAck: Bool) throws(SessionError) {
    if let request = Request(rawValue: message.request), RequestTable.withAnswer.contains(request) {
      throw .violation("\(request.name) needs a feature that was not negotiated")
    }
    Log.debug("vhost-user", "\(message.requestName) ignored: it needs a feature that was not negotiated")
    if wantsAck { try acknowledge(message, 1) }
  }

  private func acknowledge(_ message: Message, _ code: UInt64) throws(SessionError) {
    try answer(message, littleEndian(code))
  }

  private func answer(_ message: Message, _ payload: [UInt8]) throws(SessionError) {
    try connection.send(Message(message.request, flags: [.version1, .reply], payload: payload))
  }

  /// Ends the use of everything the front-end lent. The owner has quiesced.
  public func end() {
    for index in vrings.indices { vrings[index] = Vring() }
    translations = nil
    joinedParts = []
    misses.forgetAll()
    untranslated = []
    channel.close()
    logMapping = nil
    memory = nil
  }
}

func hexadecimal(_ value: some BinaryInteger) -> String { String(value, radix: 16) }
