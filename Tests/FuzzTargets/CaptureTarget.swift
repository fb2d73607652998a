import Datapath
import Flow
import Glibc
import Linux
import SwitchctlCommands

extension FuzzTarget {
  /// A capture file with anything in it: as many of its frames are read as it has whole, and each has a key.
  static let capture = FuzzTarget("capture", seeds: captureSeeds) { bytes in
    let directory = try temporaryDirectory()
    defer { removeDirectory(directory) }
    let path = directory + "/frames.pcap"
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT)
    _ = write(file.raw, bytes, bytes.count)
    var offset = 24
    // Each is looked for from the beginning of the file.
    for number in 1...40 {
      guard let frame = try? CaptureFile.frame(number, of: path) else { return }
      require(offset + 16 + frame.count <= bytes.count, "a frame lies inside the file")
      require(Array(bytes[(offset + 16)..<(offset + 16 + frame.count)]) == frame, "a frame is the file's")
      offset += 16 + frame.count
      _ = FlowFrame.key(of: frame, inPort: .local)
    }
  }

  /// Two captures of the frames of `frame-headers`, one of each byte order.
  private static func captureSeeds() -> [[UInt8]] {
    [false, true].map { swapped in
      func word(_ value: UInt32) -> [UInt8] {
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        return swapped ? bytes.reversed() : bytes
      }
      var bytes = word(swapped ? 0xA1B2_3C4D : 0xA1B2_C3D4) + (swapped ? [0, 2, 0, 4] : [2, 0, 4, 0])
      bytes += word(0) + word(0) + word(262_144) + word(1)
      for frame in frameHeaders.seeds() {
        bytes += word(1) + word(2) + word(UInt32(frame.count)) + word(UInt32(frame.count)) + frame
      }
      return bytes
    }
  }
}
