import CLinux
import CNetlink
import Glibc
import Linux

// Following links
// ===============
//
// One socket joins the group RTNLGRP_LINK and is read when it is readable, a bounded number of messages per turn. A
// second one asks for everything: at the start, and whenever the kernel says that messages were lost (ENOBUFS). The
// group is joined before the first list is asked for, so that nothing falls between the two; a message older than
// the list is followed by the newer one.

/// The interfaces of the network namespace it was made in, kept up to date on an event loop.
public final class LinkMonitor {
  private static let messagesPerTurn = 256

  /// By index.
  public private(set) var links: [Int: Link] = [:]
  private let events: NetlinkSocket
  private let requests: NetlinkSocket
  private let ioctlSocket: FileDescriptor
  private var watch: EventLoop.Watch?
  private var observers: [Int: () -> Void] = [:]
  private var nextObserver = 0
  private var hasChanged = false
  /// How often messages were lost and the whole list was asked for.
  private(set) var overruns = 0

  /// - Parameter bufferBytes: what the kernel keeps for us while the loop is busy.
  // SAFETY: the callback's context is this object, which owns the socket that calls back and frees it first.
  public init(loop: EventLoop, bufferBytes: Int32 = 1 << 20) throws(NetlinkError) {
    events = try NetlinkSocket()
    requests = try NetlinkSocket()
    let raw = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw NetlinkError(SystemError.last("open a socket").description) }
    ioctlSocket = FileDescriptor(owning: raw)

    nl_socket_disable_seq_check(events.pointer)
    _ = nl_socket_set_buffer_size(events.pointer, bufferBytes, 0)
    let joined = nl_socket_add_membership(events.pointer, Int32(RTNLGRP_LINK.rawValue))
    let unblocked = nl_socket_set_nonblocking(events.pointer)
    guard joined == 0, unblocked == 0 else {
      throw NetlinkError("follow the network interfaces: \(NetlinkSocket.reason(min(joined, unblocked)))")
    }
    let context = Unmanaged.passUnretained(self).toOpaque()
    nl_socket_modify_cb(events.pointer, NL_CB_VALID, NL_CB_CUSTOM, receiveMessage, context)
    try dump()
    hasChanged = false
    watch = loop.watch(events.descriptor, .read) { [unowned self] _ in receive() }
  }

  deinit { watch?.cancel() }

  public func link(index: Int) -> Link? { links[index] }

  public func link(named name: String) -> Link? { links.values.first { $0.name == name } }

  /// Calls `body` after links appeared, changed or went, once for all of one turn, until the result is called.
  public func observe(_ body: @escaping () -> Void) -> () -> Void {
    let number = nextObserver
    nextObserver += 1
    observers[number] = body
    return { [weak self] in self?.observers[number] = nil }
  }

  // MARK: Messages

  private func receive() {
    var result: Int32 = 0
    for _ in 0..<Self.messagesPerTurn where result >= 0 { result = nl_recvmsgs_default(events.pointer) }
    if result < 0 && result != -NLE_AGAIN {
      // Messages were lost, or one was not understood: only the whole list tells what is true now.
      overruns += 1
      do {
        try dump()
      } catch {
        Log.error("netlink", error.description)
      }
    }
    guard hasChanged else { return }
    hasChanged = false
    for number in observers.keys.sorted() { observers[number]?() }
  }

  private func dump() throws(NetlinkError) {
    var fresh = try requests.dumpLinks()
    for (index, link) in fresh { fresh[index] = withSpeed(link) }
    if fresh != links {
      links = fresh
      hasChanged = true
    }
  }

  fileprivate func take(_ link: Link, isDeletion: Bool) {
    let old = links[link.index]
    let new = isDeletion ? nil : withSpeed(link)
    guard old != new else { return }
    links[link.index] = new
    hasChanged = true
  }

  /// Asks the driver for speed and duplex, when the link may have changed them by coming or going.
  private func withSpeed(_ link: Link) -> Link {
    var link = link
    if let old = links[link.index], old.isRunning == link.isRunning, old.name == link.name {
      link.speed = old.speed
      link.fullDuplex = old.fullDuplex
    } else if link.isRunning, link.kind != "tun" {  // a TAP's 10 Mbit/s mean nothing
      var megabits: UInt32 = 0
      var duplex: Int32 = 0
      if cl_interface_speed(ioctlSocket.raw, link.name, &megabits, &duplex) == 0 {
        link.speed = Int64(megabits) * 1_000_000
        link.fullDuplex = duplex != 0
      }
    }
    return link
  }
}

// SAFETY: `context` is the monitor that owns the calling socket; it is alive because it is receiving. libnl has
// checked that the message holds what its header says; the family is the first byte of its `ifinfomsg`.
private func receiveMessage(_ message: OpaquePointer?, _ context: UnsafeMutableRawPointer?) -> Int32 {
  // A bridge reports its ports in messages of its own family: one that leaves the bridge is "deleted". The family of
  // the parsed object does not tell: libnl gives bridge ports that of bridges.
  guard let header = nlmsg_hdr(message), nlmsg_datalen(header) > 0, let body = nlmsg_data(header),
    body.load(as: UInt8.self) == UInt8(AF_UNSPEC)
  else { return Int32(NL_OK.rawValue) }
  _ = nl_msg_parse(
    message,
    { object, context in
      guard let object, let context, let link = Link(reading: object) else { return }
      let monitor = Unmanaged<LinkMonitor>.fromOpaque(context).takeUnretainedValue()
      let type = Int(nl_object_get_msgtype(object))
      if type == RTM_NEWLINK || type == RTM_DELLINK {
        monitor.take(link, isDeletion: type == RTM_DELLINK)
      }
    }, context)
  return Int32(NL_OK.rawValue)
}
