import Glibc
import Linux

/// Frames of a capture in the pcap format (draft-ietf-opsawg-pcap), of either byte order, with micro- or nanoseconds.
///
/// The file may be anything: lengths are checked before they are used, and a frame that is too long to be one is an error.
package final class CaptureFile {
  /// The longest frame kept: what tcpdump's longest snapshot is.
  static let maximumLength = 262_144

  private let file: FileDescriptor
  private let name: String
  private var isSwapped: Bool
  private var buffer = [UInt8](repeating: 0, count: 1 << 16)
  /// What of `buffer` was read and not taken.
  private var waiting = 0..<0

  /// Frame `number` of a file, counted from 1.
  package static func frame(_ number: Int, of path: String) throws(CommandError) -> [UInt8] {
    let capture = try CaptureFile(path)
    for place in 1...number {
      guard let frame = try capture.next() else {
        throw CommandError(
          "\(capture.name) has \(place - 1) \(place == 2 ? "frame" : "frames"), so there is no frame \(number)"
        )
      }
      if place == number { return frame }
    }
    return []
  }

  init(_ path: String) throws(CommandError) {
    name = LineFile.name(path)
    file = try LineFile.open(path)
    isSwapped = false
    let header = try take(24)
    guard header.count >= 4 else { throw CommandError("\(name) is no capture: it has \(header.count) bytes") }
    switch word(header, 0) {
    case 0xA1B2_C3D4, 0xA1B2_3C4D: break
    case 0xD4C3_B2A1, 0x4D3C_B2A1: isSwapped = true
    case 0x0A0D_0D0A:
      throw CommandError("\(name) is in the pcapng format; turn it into pcap: editcap -F pcap IN OUT")
    default: throw CommandError("\(name) is no capture in the pcap format: it begins with something else")
    }
    guard header.count == 24 else { throw CommandError("\(name) ends in its header") }
    let link = word(header, 20) & 0x0FFF_FFFF
    guard link == 1 else {
      throw CommandError("\(name) holds frames of link type \(link); only Ethernet (1) can be traced")
    }
  }

  /// The next frame, as far as it was captured; nil at the end.
  func next() throws(CommandError) -> [UInt8]? {
    let header = try take(16)
    guard !header.isEmpty else { return nil }
    guard header.count == 16 else { throw CommandError("\(name) ends in the header of a frame") }
    let length = Int(word(header, 8))
    guard length <= Self.maximumLength else {
      throw CommandError("\(name) has a frame of \(length) bytes; at most \(Self.maximumLength) are read")
    }
    let frame = try take(length)
    guard frame.count == length else { throw CommandError("\(name) ends in a frame") }
    return frame
  }

  /// The next bytes: `count`, or as many as there are.
  private func take(_ count: Int) throws(CommandError) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      if waiting.isEmpty {
        let got = read(file.raw, &buffer, buffer.count)
        if got < 0, errno == EINTR { continue }
        guard got >= 0 else { throw CommandError(SystemError.last("read \(name)").description) }
        if got == 0 { break }
        waiting = 0..<got
      }
      let part = waiting.prefix(count - bytes.count)
      bytes += buffer[part]
      waiting = part.endIndex..<waiting.upperBound
    }
    return bytes
  }

  private func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    let word = bytes[offset..<offset + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return isSwapped ? word.byteSwapped : word
  }
}
