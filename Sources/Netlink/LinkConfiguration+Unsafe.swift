import CLinux
import CNetlink
import Glibc

/// Alters interfaces of the network namespace it was made in (RTM_NEWLINK); each call waits for the kernel's answer,
/// which comes at once.
public final class LinkConfiguration {
  private let socket: NetlinkSocket

  public init() throws(NetlinkError) { socket = try NetlinkSocket() }

  public func setUp(_ isUp: Bool, index: Int) throws(NetlinkError) {
    try change(index, "set interface \(index) \(isUp ? "up" : "down")") { link in
      if isUp {
        rtnl_link_set_flags(link, LinkFlag.up)
      } else {
        rtnl_link_unset_flags(link, LinkFlag.up)
      }
    }
  }

  /// - Parameter mtu: bytes of payload after the link header.
  public func setMTU(_ mtu: Int, index: Int) throws(NetlinkError) {
    guard let value = UInt32(exactly: mtu) else { throw NetlinkError("an MTU cannot be \(mtu)") }
    try change(index, "set the MTU of interface \(index) to \(mtu)") { rtnl_link_set_mtu($0, value) }
  }

  /// - Parameter address: six colon-separated hexadecimal pairs.
  // SAFETY: libnl copies what it is given and counts references of its own.
  public func setMAC(_ address: String, index: Int) throws(NetlinkError) {
    var parsed: OpaquePointer?
    guard nl_addr_parse(address, AF_LLC, &parsed) == 0, let parsed, nl_addr_get_len(parsed) == 6 else {
      throw NetlinkError(
        "\"\(address)\" is not a MAC address: give six hexadecimal pairs separated by colons")
    }
    defer { nl_addr_put(parsed) }
    try change(index, "set the MAC address of interface \(index) to \(address)") {
      rtnl_link_set_addr($0, parsed)
    }
  }

  /// - Parameter namespace: an open descriptor of a network namespace.
  public func move(index: Int, toNamespace namespace: Int32) throws(NetlinkError) {
    try change(index, "move interface \(index) into another network namespace") {
      rtnl_link_set_ns_fd($0, namespace)
    }
  }

  // SAFETY: both objects live until they are put back at the end of the call.
  private func change(_ index: Int, _ action: String, _ alter: (OpaquePointer) -> Void) throws(NetlinkError) {
    guard let target = rtnl_link_alloc(), let changes = rtnl_link_alloc() else {
      throw NetlinkError("\(action): out of memory")
    }
    defer {
      rtnl_link_put(target)
      rtnl_link_put(changes)
    }
    rtnl_link_set_ifindex(target, Int32(clamping: index))
    alter(changes)
    let result = rtnl_link_change(socket.pointer, target, changes, 0)
    guard result == 0 else { throw NetlinkError("\(action): \(NetlinkSocket.reason(result))") }
  }
}
