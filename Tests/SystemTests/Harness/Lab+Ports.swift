/// Ports for guests, of QEMU or played by the test itself.
extension Lab {
  /// Adds a vhost-user port with its socket at `socket(port)`.
  /// - Parameters:
  ///   - role: which side the front-end is.
  ///   - columns: settings of the port ("tag=5").
  ///   - settings: columns of its interface ("mtu_request=9000").
  func addVhostPort(
    _ port: String, role: Guest.Role = .connects, bridge: String = "br0", columns: [String] = [],
    settings: [String] = []
  ) throws {
    let type =
      role == .connects
      ? ["type=vhost-user"] : ["type=vhost-user-client", "options:vhost-server-path=\(socket(port))"]
    let output = try attempt(
      ["add-port", bridge, port] + columns + ["--", "set", "Interface", port] + type + settings)
    guard output.succeeded else { throw HarnessError("add-port \(port): \(output)") }
  }

  /// All counters of a port in the running switch, as they are now.
  func counters(_ port: String) throws -> [String: Int] {
    var result: [String: Int] = [:]
    for line in try ctl("--format=csv", "--no-headings", "stats", port).split(whereSeparator: \.isNewline) {
      let cells = line.split { $0 == " " || $0 == "," }.map(String.init)
      if cells.count == 2 { result[cells[0]] = Int(cells[1]) }
    }
    return result
  }

  /// The counters of a port in its row, those of its queues among them: "rx_q0_packets" is what the guest sent by its
  /// first pair.
  func statistics(_ port: String) throws -> [String: Int] {
    let pairs = try interface(port, "statistics").filter { $0 != "{" && $0 != "}" && $0 != " " }
    return pairs.split(separator: ",").reduce(into: [:]) { result, pair in
      let parts = pair.split(separator: "=")
      if parts.count == 2 { result[String(parts[0])] = Int(parts[1]) }
    }
  }

  /// The virtio features a port's front-end acknowledged.
  func features(_ port: String) throws -> UInt64 {
    let text = try interface(port, "status:features").filter { $0 != "\"" }
    guard text.hasPrefix("0x"), let value = UInt64(text.dropFirst(2), radix: 16) else {
      throw HarnessError("the features of \(port) are '\(text)'")
    }
    return value
  }
}
