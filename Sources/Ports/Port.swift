// A port has two faces
// ====================
//
// The *control face* is a class conforming to `Port`, living on the control thread: it opens sockets and devices,
// talks to front-ends, follows links, reports status.
//
// The *data face* is a `PortIO`, a trivial value holding a pointer to the port's rings or descriptors, which poll
// threads call once per burst. Nothing in it is a class, so nothing is reference counted.
//
// Three rules keep the two apart without locks on the packet path:
//  * A queue belongs to one poll thread for receiving. Transmitting is serialised by the datapath, per transmit queue.
//  * The control face alters what the data face reads (rings, memory tables, descriptors) only while the port is
//    inactive: clear the `active` flag, call `environment.synchronize()`, and every poll thread has since left the
//    port and will not enter it again until the flag is set.
//  * A poll thread never waits for the control face.

/// What the datapath lends a port.
public struct PortEnvironment {
  /// Returns once every poll thread has finished the turn it was in; turns take microseconds.
  public let synchronize: () -> Void
  /// Tells the datapath that the descriptor to sleep on for receive queue `queue` is now `descriptor`, or that there
  /// is none (before the old one is closed). `edgeTriggered` for eventfds, which poll threads do not drain; a port that
  /// does has to `wake` them then, because of an edge they may not have seen yet.
  public let setWaitDescriptor: (_ queue: Int, _ descriptor: Int32?, _ edgeTriggered: Bool) -> Void
  /// Wakes the poll threads, because there may be work no descriptor announces.
  public let wake: () -> Void
  /// Tells the datapath that `status` changed, or a number of queues.
  public let statusChanged: () -> Void

  public init(
    synchronize: @escaping () -> Void,
    setWaitDescriptor: @escaping (_ queue: Int, _ descriptor: Int32?, _ edgeTriggered: Bool) -> Void,
    wake: @escaping () -> Void, statusChanged: @escaping () -> Void
  ) {
    self.synchronize = synchronize
    self.setWaitDescriptor = setWaitDescriptor
    self.wake = wake
    self.statusChanged = statusChanged
  }
}

/// A port's control face. All calls come from the control thread.
public protocol Port: AnyObject {
  /// The interface's name in the database.
  var name: String { get }
  /// The data face; valid from creation until `close` returns.
  var io: PortIO { get }
  var receiveQueueCount: Int { get }
  /// At least 1. It may shrink only behind a `statusChanged` that the datapath has returned from.
  var transmitQueueCount: Int { get }
  /// What the database shows.
  var status: PortStatus { get }
  /// Frames the kernel dropped before a poll thread came for them, since the port was made.
  var missedFrames: UInt64 { get }
  /// What the control thread transmitted or dropped, since the port was made; nil if it never does.
  var controlCounters: PortCounters? { get }
  /// Counters of single queues since the port was made: `rx_q0_packets`, of receive queue 0, or `tx_q3_bytes`, of
  /// transmit queue 3. They belong to Interface.statistics, beside those of the port.
  var queueStatistics: [(name: String, value: UInt64)] { get }

  /// Opens whatever the port needs and begins. A port whose other side is not there yet (no front-end connected)
  /// has started all the same; what is wrong meanwhile is in `status.error`.
  func start(_ environment: PortEnvironment) throws(PortError)
  /// Applies altered options in place, or says false: then it is closed and made anew.
  func reconfigure(_ configuration: PortConfiguration) throws(PortError) -> Bool
  /// Ends everything, synchronises, and frees what the data face pointed to. The port is unusable afterwards.
  func close()
}

extension Port {
  public var transmitQueueCount: Int { 1 }
  public var missedFrames: UInt64 { 0 }
  public var controlCounters: PortCounters? { nil }
  public var queueStatistics: [(name: String, value: UInt64)] { [] }
}

/// What a user asked for: an Interface row, reduced to what ports need.
public struct PortConfiguration: Equatable, Sendable {
  /// Values of Interface.type and their synonyms.
  public enum Kind: String, Sendable, CaseIterable {
    case vhostUser = "vhost-user"
    case vhostUserClient = "vhost-user-client"
    case tap
    case `internal`
    case system
  }

  public var name: String
  public var kind: Kind
  /// Interface.options, as given.
  public var options: [String: String]
  /// Interface.mtu_request, in bytes of payload after the Ethernet header.
  public var requestedMTU: Int?
  /// Interface.mac, for `internal` ports.
  public var requestedMAC: String?
  /// Where vhost-user sockets live by default.
  public var runDirectory: String

  public init(
    name: String, kind: Kind, options: [String: String] = [:], requestedMTU: Int? = nil,
    requestedMAC: String? = nil, runDirectory: String
  ) {
    self.name = name
    self.kind = kind
    self.options = options
    self.requestedMTU = requestedMTU
    self.requestedMAC = requestedMAC
    self.runDirectory = runDirectory
  }
}

/// A port's condition, as the Interface row and `switchctl show` report it.
public struct PortStatus: Equatable, Sendable {
  /// Interface.error: one sentence a user can act on.
  public var error: String?
  public var adminUp = false
  public var linkUp = false
  /// How often the link has changed state since the port was made.
  public var linkResets: Int64 = 0
  /// Bits per second, where the device knows.
  public var linkSpeed: Int64?
  public var fullDuplex: Bool?
  public var mtu: Int?
  /// Six colon-separated pairs.
  public var macAddress: String?
  public var interfaceIndex: Int?
  /// Interface.status: free-form facts under OVS's names where it has one (mode, socket, features, …).
  public var details: [String: String] = [:]

  public init() {}
}

/// Why a port cannot be set up: what, where, what to do.
public struct PortError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
