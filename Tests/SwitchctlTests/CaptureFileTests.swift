import Glibc
import Linux
import OVSDBTesting
import Seeded
import Testing

@testable import SwitchctlCommands

struct CaptureFileTests {
  let directory: ScratchDirectory

  init() throws { directory = try ScratchDirectory() }

  /// The bytes of a capture, as a machine of that byte order writes it.
  struct Capture {
    var swapped = false
    var nanoseconds = false
    var link: UInt32 = 1
    var frames: [[UInt8]] = []

    func word(_ value: UInt32) -> [UInt8] {
      let bytes = (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
      return swapped ? bytes.reversed() : bytes
    }

    var bytes: [UInt8] {
      var bytes = word(nanoseconds ? 0xA1B2_3C4D : 0xA1B2_C3D4)
      bytes += swapped ? [0, 2, 0, 4] : [2, 0, 4, 0]
      bytes += word(0) + word(0) + word(262_144) + word(link)
      for frame in frames {
        bytes += word(1) + word(2) + word(UInt32(frame.count)) + word(UInt32(frame.count) + 9) + frame
      }
      return bytes
    }
  }

  func write(_ bytes: [UInt8]) throws -> String {
    let path = directory.file("capture.pcap")
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    #expect(Glibc.write(file.raw, bytes, bytes.count) == bytes.count)
    return path
  }

  func failure(_ bytes: [UInt8], frame: Int = 1) throws -> String? {
    let path = try write(bytes)
    do throws(CommandError) {
      _ = try CaptureFile.frame(frame, of: path)
      return nil
    } catch { return error.message }
  }

  static let frames = [[UInt8](0..<64), [UInt8](repeating: 7, count: 100_000), []]

  @Test(arguments: [false, true], [false, true])
  func `Frames are read in either byte order, with micro- or nanoseconds`(swapped: Bool, nanoseconds: Bool)
    throws
  {
    let capture = Capture(swapped: swapped, nanoseconds: nanoseconds, frames: Self.frames)
    let path = try write(capture.bytes)
    for (index, frame) in Self.frames.enumerated() {
      #expect(try CaptureFile.frame(index + 1, of: path) == frame)
    }
  }

  @Test func `A frame beyond the last is an error that says how many there are`() throws {
    #expect(try failure(Capture(frames: Self.frames).bytes, frame: 4)?.contains("has 3 frames") == true)
    #expect(try failure(Capture().bytes)?.contains("has 0 frames") == true)
    #expect(try failure(Capture(frames: [[1]]).bytes, frame: 2)?.contains("has 1 frame,") == true)
  }

  @Test func `What is no capture of Ethernet frames is refused with its reason`() throws {
    #expect(try failure([])?.contains("has 0 bytes") == true)
    #expect(try failure([1, 2, 3])?.contains("has 3 bytes") == true)
    #expect(
      try failure(Array("GET / HTTP/1.1\r\n\r\n and so on".utf8))?.contains("begins with something else")
        == true)
    #expect(
      try failure([0x0A, 0x0D, 0x0D, 0x0A] + [UInt8](repeating: 0, count: 40))?.contains("pcapng") == true)
    #expect(try failure(Capture(link: 113).bytes)?.contains("link type 113") == true)
    #expect(try failure(Array(Capture().bytes.dropLast()))?.contains("ends in its header") == true)
  }

  @Test func `A capture that is cut off anywhere is refused, or has the frames before the cut`() throws {
    let whole = Capture(frames: [[1, 2, 3], [4, 5]]).bytes
    for length in 25..<whole.count {
      let message = try #require(try failure(Array(whole[..<length]), frame: 2), "\(length)")
      #expect(message.contains("ends in") || message.contains("has 1 frame,"), "\(length): \(message)")
    }
  }

  @Test func `A length that no frame has costs nothing`() throws {
    let capture = Capture()
    for length in [UInt32(262_145), 0x7FFF_FFFF, .max] {
      let header = capture.word(0) + capture.word(0) + capture.word(length) + capture.word(1)
      #expect(try failure(capture.bytes + header)?.contains("a frame of \(length) bytes") == true)
    }
  }

  @Test func `Random bytes and random damage give a frame or an error`() throws {
    var random = SeededRandom(seed: 4)
    let whole = Capture(frames: [[UInt8](repeating: 1, count: 60), [2, 3]]).bytes
    var refused = 0
    for _ in 0..<500 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if try failure(bytes, frame: 2) != nil { refused += 1 }
    }
    #expect(refused > 0 && refused < 500)
  }
}
