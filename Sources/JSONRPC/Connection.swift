import Linux

/// One JSON-RPC 1.0 session over a stream socket, plain or under TLS: requests, notifications and replies both ways.
///
/// It belongs to the event loop's thread. Output is collected during a turn and written at its end, so that what a
/// turn produces leaves in one system call. What a peer can cost is bounded: a document by `Limits.input`, and
/// unread output by `Limits.backlog`. While more than `Limits.pause` bytes are unread no further requests are
/// taken from the peer, so only notifications it asked for can overflow the backlog, which closes the session.
/// `echo` requests are answered here and never reach `onRequest`.
public final class Connection {
  public struct Limits: Sendable {
    public var input = JSONFramer.Limits()
    /// Unread bytes of output at which another message closes the session.
    public var backlog = 64 << 20
    /// Unread bytes of output at which requests wait.
    public var pause = 1 << 20
    /// Within so many milliseconds a connection that is not open from the start must be: made, and hands shaken.
    public var opening = 10_000
    public init() {}
  }

  public typealias ReplyHandler = (Result<JSON, ReplyError>) -> Void

  /// Who is at the other end, for messages.
  public let name: String
  public var onRequest: ((_ method: String, _ params: [JSON], _ id: JSON) -> Void)?
  public var onNotification: ((_ method: String, _ params: [JSON]) -> Void)?
  /// Called once, when a connection that was not open from the start is.
  public var onOpen: (() -> Void)?
  /// Called once, with the reason, when the session ends other than by `close()`.
  public var onClose: ((_ reason: String) -> Void)?
  /// Whether the session is over.
  public private(set) var isClosed = false

  private let loop: EventLoop
  private let limits: Limits
  private var transport: Transport?
  private var watch: EventLoop.Watch?
  private var framer: JSONFramer
  private var input = [UInt8](repeating: 0, count: 1 << 16)
  private var output = OutputBuffer()
  private var flushIsScheduled = false
  private var openingTimer: EventLoop.Timer?
  /// Requests may wait in the framer because the peer does not read.
  private var isPaused = false
  private var nextID: Int64 = 1
  private var pending: [JSON: ReplyHandler] = [:]
  private var probe: (milliseconds: Int, timer: EventLoop.Timer)?
  private var heardSinceProbe = false
  private var probeIsOut = false

  /// Serves an open, non-blocking stream socket.
  public convenience init(
    _ loop: EventLoop, owning socket: consuming FileDescriptor, name: String, limits: Limits = Limits()
  ) {
    self.init(loop, Transport(consume socket, nil, isConnecting: false), name: name, limits: limits)
  }

  init(_ loop: EventLoop, _ transport: Transport, name: String, limits: Limits) {
    self.loop = loop
    self.name = name
    self.limits = limits
    self.transport = transport
    framer = JSONFramer(limits: limits.input)
    watch = loop.watch(transport.raw, transport.interest(reading: true, writing: false)) { [weak self] in
      self?.ready($0)
    }
    guard transport.phase != .open else { return }
    openingTimer = loop.after(milliseconds: limits.opening) { [weak self] in
      self?.end("it was not there within \(limits.opening) ms")
    }
  }

  deinit { shutDown() }

  /// Connects to `unix:`, `tcp:` or `ssl:`. The latter two may still fail after this returns: `onClose` then says why.
  public static func connect(
    to remote: Remote, _ loop: EventLoop, limits: Limits = Limits(),
    options: TransportOptions = TransportOptions()
  ) throws(SystemError) -> Connection {
    switch remote {
    case .unix(let path), .listenUnix(let path):
      let socket = try UnixSocket.connect(path)
      return Connection(loop, owning: socket, name: "unix:\(path)", limits: limits)
    case .tcp(let address, let port), .listenTCP(let address, let port), .tls(let address, let port),
      .listenTLS(let address, let port):
      let context = try remote.isTLS ? options.context(for: remote) : nil
      let socket = try TCPSocket.connect(address, port: port, dscp: options.dscp)
      let transport = try Transport.over(socket, context, .client, isConnecting: true)
      return Connection(loop, transport, name: remote.description, limits: limits)
    }
  }

  /// Whether messages can go now.
  public var isOpen: Bool { transport?.phase == .open }

  /// Sends a request; `completion` gets the reply, or `.closed` when the session ends first.
  @discardableResult
  public func request(_ method: String, _ params: [JSON], _ completion: @escaping ReplyHandler) -> JSON {
    let id = JSON.integer(nextID)
    nextID &+= 1
    guard !isClosed else {
      completion(.failure(.closed("the session is closed")))
      return id
    }
    pending[id] = completion
    send(.request(method: method, params: params, id: id))
    return id
  }

  public func notify(_ method: String, _ params: [JSON]) {
    send(.notification(method: method, params: params))
  }

  public func reply(to id: JSON, _ result: JSON) { send(.response(id: id, result: result)) }

  public func fail(_ id: JSON, _ error: JSON) { send(.failure(id: id, error: error)) }

  /// Ends the session without calling `onClose`; output not sent yet is tried once.
  public func close() {
    guard !isClosed else { return }
    flush()
    end(nil)
  }

  /// From now on, asks an idle peer for an echo after so long, and closes when the next such time passes in silence.
  public func probe(everyMilliseconds milliseconds: Int) {
    probe?.timer.cancel()
    probe = nil
    guard milliseconds > 0, !isClosed else { return }
    let timer = loop.after(milliseconds: milliseconds) { [weak self] in self?.probeFired() }
    probe = (milliseconds, timer)
  }

  /// Whether an answer to a probe is being waited for.
  public var isProbing: Bool { probeIsOut && !heardSinceProbe }

  /// Unread bytes of output.
  public var backlog: Int { output.backlog }

  private func probeFired() {
    guard let probe, !isClosed else { return }
    if heardSinceProbe {
      probeIsOut = false
    } else if probeIsOut {
      return end("no answer to an inactivity probe within \(probe.milliseconds) ms")
    } else {
      probeIsOut = true
      send(.request(method: "echo", params: [], id: "echo"))
    }
    heardSinceProbe = false
    self.probe(everyMilliseconds: probe.milliseconds)
  }
}

// Input.
extension Connection {
  private func ready(_ readiness: EventLoop.Readiness) {
    guard let transport else { return }
    if transport.phase != .open {
      if let failure = transport.advance(name) { return end(failure) }
      guard transport.phase == .open else { return updateInterest() }
      opened()
    }
    // Under TLS each may have waited for what the other usually waits for.
    if readiness.contains(.writable) || transport.writeWantsRead { flush() }
    if readiness.contains(.readable) || !readiness.isDisjoint(with: .hangup) || transport.readWantsWrite {
      receive()
    }
  }

  private func opened() {
    openingTimer?.cancel()
    openingTimer = nil
    updateInterest()
    let onOpen = self.onOpen
    self.onOpen = nil
    onOpen?()
  }

  private func receive() {
    switch transport?.read(into: &input) {
    case .bytes(let count):
      heardSinceProbe = true
      framer.feed(input[..<count])
      drain()
    case .blocked: updateInterest()
    case .failed(let reason): end("read from \(name): \(reason)")
    case .ended:
      flush()
      end(
        framer.isInsideDocument
          ? "the peer closed in the middle of a message" : "the peer closed the connection")
    case nil: break
    }
  }

  /// Handles every complete message that has arrived, until the peer must read before it may ask for more.
  private func drain() {
    while !isClosed, backlog <= limits.pause {
      do {
        guard let document = try framer.next() else { break }
        handle(try Message(document))
      } catch let error as JSONError {
        return refuse(error.description)
      } catch let error as MessageError {
        return refuse(error.description)
      } catch {
        return refuse("\(error)")
      }
    }
    isPaused = backlog > limits.pause
    updateInterest()
  }

  /// Once the peer has read enough, takes up the requests that wait in the buffer.
  private func resume() {
    guard isPaused, backlog <= limits.pause, !isClosed else { return }
    isPaused = false
    loop.later { [weak self] in self?.drain() }
  }

  /// Tells the peer what was wrong with its bytes and ends the session: nothing after them can be trusted.
  private func refuse(_ reason: String) {
    Log.warning("jsonrpc", "\(name): \(reason)")
    send(.notification(method: "error", params: [.string(reason)]))
    flush()
    end(reason)
  }

  private func handle(_ message: Message) {
    switch message {
    case .request("echo", let params, let id): reply(to: id, .array(params))
    case .request(let method, let params, let id):
      guard let onRequest else { return fail(id, "unknown method") }
      onRequest(method, params, id)
    case .notification(let method, let params): onNotification?(method, params)
    case .response(let id, let result): pending.removeValue(forKey: id)?(.success(result))
    case .failure(let id, let error): pending.removeValue(forKey: id)?(.failure(.refused(error)))
    }
  }
}

// Output.
extension Connection {
  private func send(_ message: Message) { sendText { message.write(to: &$0) } }

  private func sendText(_ write: (inout [UInt8]) -> Void) {
    guard hasRoom() else { return }
    output.append(write)
    scheduleFlush()
  }

  /// Whether another message may be added; one too many ends the session.
  private func hasRoom() -> Bool {
    guard !isClosed else { return false }
    guard backlog <= limits.backlog else {
      end("the peer does not read: \(backlog) bytes wait for it")
      return false
    }
    return true
  }

  /// Replies, but neither the reply nor anything after it leaves before it is released. It counts as unread output.
  public func hold(replyTo id: JSON, _ result: JSON) -> HeldReply? {
    guard hasRoom() else { return nil }
    return output.hold { Message.response(id: id, result: result).write(to: &$0) }
  }

  /// Lets a held reply go; with `result`, that is the reply instead.
  public func release(_ reply: HeldReply, to id: JSON, as result: JSON? = nil) {
    guard !isClosed else { return }
    let text = result.map { result in
      var text: [UInt8] = []
      Message.response(id: id, result: result).write(to: &text)
      return text
    }
    output.release(reply, as: text)
    scheduleFlush()
  }

  /// Replies with a result that is JSON text already.
  public func reply(to id: JSON, serialized result: [UInt8]) {
    sendText {
      $0.append(contentsOf: #"{"error":null,"id":"#.utf8)
      id.write(to: &$0)
      $0.append(contentsOf: #","result":"#.utf8)
      $0.append(contentsOf: result)
      $0.append(UInt8(ascii: "}"))
    }
  }

  /// Notifies with parameters that are the text of a JSON array already.
  public func notify(_ method: String, serialized params: [UInt8]) {
    sendText {
      $0.append(contentsOf: #"{"id":null,"method":"#.utf8)
      JSON.write(method, to: &$0)
      $0.append(contentsOf: #","params":"#.utf8)
      $0.append(contentsOf: params)
      $0.append(UInt8(ascii: "}"))
    }
  }

  private func scheduleFlush() {
    guard !flushIsScheduled, isOpen else { return }
    flushIsScheduled = true
    loop.later { [weak self] in
      guard let self else { return }
      flushIsScheduled = false
      flush()
    }
  }

  private func flush() {
    guard isOpen else { return }
    writing: while let transport, !output.sendable.isEmpty {
      switch transport.write(output.sendable) {
      case .bytes(let count): output.consume(count)
      case .blocked: break writing
      case .ended: return end("the peer closed the connection")
      case .failed(let reason): return end("write to \(name): \(reason)")
      }
    }
    output.reclaim()
    resume()
    updateInterest()
  }

  private func updateInterest() {
    guard let transport else { return }
    watch?.update(transport.interest(reading: backlog <= limits.pause, writing: !output.sendable.isEmpty))
  }

  private func end(_ reason: String?) {
    guard !isClosed else { return }
    shutDown()
    let waiting = pending
    pending = [:]
    for completion in waiting.values { completion(.failure(.closed(reason ?? "the session was closed"))) }
    let onClose = self.onClose
    self.onClose = nil
    onOpen = nil
    onRequest = nil
    onNotification = nil
    if let reason { onClose?(reason) }
  }

  private func shutDown() {
    isClosed = true
    probe?.timer.cancel()
    probe = nil
    openingTimer?.cancel()
    openingTimer = nil
    watch?.cancel()
    watch = nil
    transport?.close()
    transport = nil
    output.removeAll()
  }
}

/// Why a request has no result.
public enum ReplyError: Error, Equatable, CustomStringConvertible {
  /// The peer answered with an error.
  case refused(JSON)
  /// The session ended before the answer.
  case closed(String)

  public var description: String {
    switch self {
    case .refused(.string(let text)): text
    case .refused(let error): error.text
    case .closed(let reason): reason
    }
  }
}
