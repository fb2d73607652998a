// The back-end's side of one vhost-user connection
// ================================================
//
// A Session reads requests, checks each against one table (RequestTable.swift: which payload, which descriptors,
// when it is legal), and keeps what the front-end said: features, memory, rings. It moves no frames. Its owner does,
// and is told before anything a poll thread may be using changes (`quiesce`) and after it has (`resume`).
//
// Phases: *negotiating* until features are acknowledged, *configured* from then on, *running* while a ring is started.
// A violation throws out of `process`; the owner then drops the session, and with it every mapping and descriptor.

import Linux
import Virtio

/// Who moves the frames of a session.
public protocol SessionOwner: AnyObject {
  /// On return no poll thread uses the session's memory, rings or descriptors, and `session.vrings` have the positions
  /// reached. Called again without a `resume` between it does nothing.
  func quiesce(_ session: Session)
  /// The session's state is consistent again: begin, go on, or stay stopped.
  func resume(_ session: Session) throws(SessionError)
}

public final class Session {
  public enum Phase: Sendable, CaseIterable {
    case negotiating, configured, running
  }

  /// Queue pairs served; two rings each, first the one the guest receives by.
  public static let queuePairs = 1

  public let connection: Connection
  /// What is offered to the front-end.
  public let offeredFeatures: VirtioFeatures
  public let offeredProtocolFeatures: ProtocolFeatures
  /// What it acknowledged; nil before it did.
  public internal(set) var features: VirtioFeatures?
  public internal(set) var protocolFeatures: ProtocolFeatures = []
  public internal(set) var memory: GuestMemory?
  public var vrings = [Vring](repeating: Vring(), count: 2 * Session.queuePairs)
  public internal(set) var status: DeviceStatus = []
  /// NET_SET_MTU, in bytes.
  public internal(set) var mtu: Int?
  private weak var owner: (any SessionOwner)?

  public init(
    _ connection: Connection, owner: any SessionOwner, features: VirtioFeatures = .implemented,
    protocolFeatures: ProtocolFeatures = .implemented
  ) {
    self.connection = connection
    self.owner = owner
    offeredFeatures = features
    offeredProtocolFeatures = protocolFeatures
  }

  public var phase: Phase {
    if features == nil { return .negotiating }
    return vrings.contains(where: \.isStarted) ? .running : .configured
  }

  /// Whether frames may move on ring `index`.
  public func isUsable(_ index: Int) -> Bool {
    guard memory != nil, let features else { return false }
    if protocolFeatures.contains(.status) && !status.contains(.driverOK) { return false }
    let vring = vrings[index]
    return vring.isRunnable && (vring.isEnabled || !features.contains(.protocolFeatures))
  }

  /// Whether ring `index` is started but was disabled: what comes in is taken, and goes nowhere.
  public func discards(_ index: Int) -> Bool {
    guard memory != nil, features != nil, vrings[index].isRunnable, vrings[index].isDisabled else {
      return false
    }
    if protocolFeatures.contains(.status) && !status.contains(.driverOK) { return false }
    return !isUsable(index)
  }

  /// Handles the messages that have arrived, a bounded number of them. Throws when the session is over.
  public func process() throws(SessionError) {
    for _ in 0..<64 {
      guard let message = try connection.receive() else { return }
      try handle(message)
    }
  }

  private func handle(_ message: Message) throws(SessionError) {
    let wantsAck = message.flags.contains(.needReply) && protocolFeatures.contains(.replyAcknowledgement)
    guard message.flags.intersection(.versionMask) == .version1,
      message.flags.subtracting([.versionMask, .needReply]).isEmpty
    else {
      throw .violation("\(message.requestName) has unknown flags 0x\(hexadecimal(message.flags.rawValue))")
    }
    guard let request = Request(rawValue: message.request), let entry = RequestTable.entries[request] else {
      return try refuse(message, wantsAck: wantsAck)
    }
    let reply: RequestTable.Reply
    do {
      try entry.check(message, phase)
      if entry.quiesces { owner?.quiesce(self) }
      reply = try entry.handler(self, message)
      if entry.quiesces { try owner?.resume(self) }
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

  /// A request that is unknown, or belongs to a feature that was not offered. One that waits for an answer other
  /// than an acknowledgement would wait for ever.
  private func refuse(_ message: Message, wantsAck: Bool) throws(SessionError) {
    if let request = Request(rawValue: message.request), RequestTable.unofferedWithAnswer.contains(request) {
      throw .violation("\(request.name) needs a feature that was not offered")
    }
    Log.debug("vhost-user", "\(message.requestName) ignored: it needs a feature that was not offered")
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
    memory = nil
  }
}

func hexadecimal(_ value: some BinaryInteger) -> String { String(value, radix: 16) }
