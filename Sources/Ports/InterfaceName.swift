/// Names the kernel takes for network interfaces.
enum InterfaceName {
  /// IFNAMSIZ without the terminating zero.
  static let maximumLength = 15

  /// Refuses what the kernel would refuse, or take for something else (`%` makes it choose a number).
  static func check(_ name: String) throws(PortError) {
    guard !name.isEmpty, name.utf8.count <= maximumLength else {
      throw PortError(
        "\"\(name)\" cannot be a network interface: a name has 1 to \(maximumLength) bytes; choose another")
    }
    let isAllowed = name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && !"/:%".utf8.contains($0) }
    guard isAllowed, name != ".", name != ".." else {
      throw PortError(
        "\"\(name)\" cannot be a network interface: a name has no spaces and none of / : %; choose another")
    }
  }
}
