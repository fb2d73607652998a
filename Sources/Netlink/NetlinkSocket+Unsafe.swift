import CLinux
import CNetlink
import Glibc

/// Sole owner of a libnl socket connected to rtnetlink, in the network namespace of the thread that makes it.
struct NetlinkSocket: ~Copyable {
  let pointer: OpaquePointer

  init() throws(NetlinkError) {
    guard let pointer = nl_socket_alloc() else { throw NetlinkError("open a netlink socket: out of memory") }
    let result = nl_connect(pointer, NETLINK_ROUTE)
    guard result == 0 else {
      nl_socket_free(pointer)
      throw NetlinkError("open a netlink socket: \(Self.reason(result))")
    }
    self.pointer = pointer
  }

  deinit { nl_socket_free(pointer) }

  var descriptor: Int32 { nl_socket_get_fd(pointer) }

  /// Every link there is now, by index.
  // SAFETY: the cache and its objects live until `nl_cache_free`; nothing of them is kept.
  func dumpLinks() throws(NetlinkError) -> [Int: Link] {
    var cache: OpaquePointer?
    var result: Int32
    var attempts = 0
    repeat {
      result = rtnl_link_alloc_cache(pointer, AF_UNSPEC, &cache)
      attempts += 1
    } while result == -NLE_DUMP_INTR && attempts < 10
    guard result == 0, let cache else {
      throw NetlinkError("list the network interfaces: \(Self.reason(result))")
    }
    defer { nl_cache_free(cache) }
    var links: [Int: Link] = [:]
    var object = nl_cache_get_first(cache)
    while let current = object {
      if let link = Link(reading: current) { links[link.index] = link }
      object = nl_cache_get_next(current)
    }
    return links
  }

  // SAFETY: libnl's error texts are static.
  static func reason(_ code: Int32) -> String {
    if code == -NLE_PERM || code == -NLE_NOACCESS {
      return "permission denied; run as root, or grant CAP_NET_ADMIN"
    }
    return nl_geterror(code).map { String(cString: $0) } ?? "error \(code)"
  }
}

extension Link {
  /// Reads a libnl link object; nil when it has no name.
  // SAFETY: the object is alive for the call; all strings and addresses are copied.
  init?(reading object: OpaquePointer) {
    guard let name = rtnl_link_get_name(object) else { return nil }
    let flags = rtnl_link_get_flags(object)
    let master = rtnl_link_get_master(object)
    self.init(
      index: Int(rtnl_link_get_ifindex(object)), name: String(cString: name),
      isUp: flags & LinkFlag.up != 0, hasCarrier: flags & LinkFlag.lowerUp != 0,
      isRunning: flags & LinkFlag.running != 0, mtu: Int(rtnl_link_get_mtu(object)),
      macAddress: Self.macAddress(of: object),
      kind: rtnl_link_get_type(object).map { String(cString: $0) }, master: master > 0 ? Int(master) : nil)
  }

  // SAFETY: the address has as many bytes as it says.
  private static func macAddress(of object: OpaquePointer) -> String? {
    guard rtnl_link_get_arptype(object) == 1, let address = rtnl_link_get_addr(object),
      nl_addr_get_len(address) == 6, let bytes = nl_addr_get_binary_addr(address)
    else { return nil }
    return (0..<6).map { index in
      let byte = String(bytes.load(fromByteOffset: index, as: UInt8.self), radix: 16)
      return byte.count == 1 ? "0" + byte : byte
    }.joined(separator: ":")
  }
}
