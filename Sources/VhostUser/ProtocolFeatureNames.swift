/// Protocol features by name.
extension ProtocolFeatures {
  /// The specification's names, VHOST_USER_PROTOCOL_F_… in lower case.
  private static let names: [(bit: Int, name: String)] = [
    (0, "mq"), (1, "log_shmfd"), (2, "rarp"), (3, "reply_ack"), (4, "mtu"), (5, "backend_req"), (9, "config"),
    (13, "reset_device"), (15, "configure_mem_slots"), (16, "status"),
  ]

  /// The names of the features in the order of their bits; "bit 61" for one without a name.
  public var names: [String] {
    (0..<64).filter { rawValue >> UInt64($0) & 1 == 1 }.map { bit in
      Self.names.first { $0.bit == bit }?.name ?? "bit \(bit)"
    }
  }
}
