import Packet

extension FuzzTarget {
  /// The headers of a frame, and its checksum: nothing beyond the frame's last byte is touched.
  static let frameHeaders = FuzzTarget("frame-headers", seeds: frameSeeds) { bytes in
    // An allocation of exactly this size, so that the address sanitizer sees one byte too many.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    guard let base = copy.baseAddress.map({ UnsafeRawPointer($0) }) else { return }
    if bytes.count >= EthernetHeader.length { _ = EthernetHeader(reading: base) }
    guard let layout = HeaderLayout(base, count: bytes.count) else { return }
    if !layout.isTruncated {
      require(layout.networkOffset <= bytes.count, "the network header begins inside the frame")
      for offset in [layout.transportOffset, layout.payloadOffset].compactMap({ $0 }) {
        require(offset <= bytes.count, "every header begins inside the frame")
      }
    }
    var checksum = Checksum()
    checksum.add(base, count: bytes.count)
    _ = checksum.datagramValue
  }

  private static func frameSeeds() -> [[UInt8]] {
    let ethernet: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]
    let ipv4: [UInt8] = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    let tcp: [UInt8] = [0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]
    let ipv6: [UInt8] = [0x60, 0, 0, 0, 0, 28, 0, 64] + [UInt8](repeating: 0xfe, count: 32)
    return [
      ethernet + [8, 0] + ipv4 + tcp,
      ethernet + [0x81, 0, 0, 5, 8, 0] + ipv4 + tcp,
      ethernet + [0x86, 0xdd] + ipv6 + [6, 0, 0, 0, 0, 0, 0, 0] + tcp,
    ]
  }
}
