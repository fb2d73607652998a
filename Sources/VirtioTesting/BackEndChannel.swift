import Linux
import VhostUser

/// The front-end's end of the channel by which a back-end asks for things (vhost-user, "Back-end communication").
public final class BackEndChannel {
  /// Requests of the back-end (vhost-user, "Back-end message types").
  public enum Request: UInt32, Sendable {
    case iotlbMessage = 1
    case configurationChanged = 2
    case vringHostNotifier = 3
  }

  public let connection: Connection
  /// What goes to the back-end. Its copy is its own.
  let farEnd: FileDescriptor
  /// Everything the back-end said, oldest first.
  public private(set) var messages: [Message] = []
  /// The misses among them.
  public private(set) var misses: [GuestIOMMU.Message] = []
  /// Misses wait for `answerMisses` until this is set.
  public var answersMisses = true
  private var unanswered: ArraySlice<GuestIOMMU.Message> = []

  public init() throws {
    let ends = try UnixSocket.pair()
    connection = Connection(FileDescriptor(owning: ends.0))
    farEnd = FileDescriptor(owning: ends.1)
  }

  /// Takes what has arrived. Acknowledges what asks for that.
  func receive() throws {
    while let message = try connection.receive() {
      messages.append(message)
      if message.request == Request.iotlbMessage.rawValue, let miss = GuestIOMMU.Message(message),
        miss.kind == GuestIOMMU.Message.Kind.miss.rawValue
      {
        misses.append(miss)
        unanswered.append(miss)
      }
      if message.flags.contains(.needReply) {
        try connection.send(
          Message(message.request, flags: [.version1, .reply], payload: littleEndian(0 as UInt64)))
      }
    }
  }

  /// The next miss to answer.
  func nextMiss() -> GuestIOMMU.Message? { answersMisses ? unanswered.popFirst() : nil }
}
