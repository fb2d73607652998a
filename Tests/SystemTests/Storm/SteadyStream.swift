import Glibc
import VirtioTesting

/// Two guests, one of which sends numbered frames to the other, a few each millisecond.
///
/// No more frames are ever under way than the receiver has room for: whatever is lost, the switch has lost.
final class SteadyStream {
  private(set) var sent: UInt64 = 0
  private(set) var arrived: UInt64 = 0
  /// What was wrong with the first frame that was not the expected one.
  private(set) var fault: String?
  private let source: StreamingGuest
  private let sink: StreamingGuest
  private var next: UInt64 = 0
  private static let burst = 4
  private static let frameLength = 100

  /// Connects to both ports' sockets.
  init(from source: String, to sink: String) throws {
    self.source = try StreamingGuest(connecting: source, ringSize: 1024)
    self.sink = try StreamingGuest(connecting: sink, ringSize: 1024)
  }

  /// Takes what has arrived; sends a burst.
  func turn() {
    receive()
    if sent - arrived < 512, source.waiting < 512 {
      for _ in 0..<Self.burst {
        let number = sent
        guard source.send(1, { Self.write(number, at: $0) }) == 1 else { break }
        sent += 1
      }
    }
    usleep(1000)
  }

  /// Waits until everything sent has arrived, or something else did.
  func finish() throws {
    try eventually("all \(sent) frames arrive; \(arrived) did") {
      receive()
      return arrived >= sent || fault != nil
    }
  }

  private func receive() {
    sink.receive { frame in
      arrived += 1
      let number = frame.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
      if number != next || frame.count != Self.frameLength {
        fault = fault ?? "frame \(number) of \(frame.count) bytes arrived instead of frame \(next)"
      }
      next = number + 1
    }
  }

  private static func write(_ number: UInt64, at frame: UnsafeMutableRawPointer) -> Int {
    // To and from addresses nobody else has.
    frame.initializeMemory(as: UInt8.self, repeating: 0, count: frameLength)
    frame.storeBytes(of: 0x0002_0000_00AA_0002, as: UInt64.self)
    frame.storeBytes(of: 0x0000_01AA, toByteOffset: 8, as: UInt32.self)
    frame.storeBytes(of: number, toByteOffset: 16, as: UInt64.self)
    return frameLength
  }
}
