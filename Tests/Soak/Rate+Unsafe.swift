import Linux
import VirtioTesting

/// Frames in a second between two ports of a switch, both ways.
struct Rate {
  private let seconds: Double
  private let iommu: GuestIOMMU.Mode?
  private let sockets: [String]

  /// Nil if the arguments ask for something else.
  init?(_ arguments: ArraySlice<String>) throws {
    var options: [String: String] = [:]
    var sockets: [String] = []
    for argument in arguments {
      let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
      if parts.count == 2 && parts[0].hasPrefix("--") {
        options[parts[0]] = parts[1]
      } else {
        sockets.append(argument)
      }
    }
    guard let seconds = options["--rate"].flatMap(Double.init), seconds > 0, sockets.count == 2 else {
      return nil
    }
    switch options["--iommu"] {
    case "region": iommu = .fixed(offset: 1 << 40)
    case "pages": iommu = .perBuffer
    default: iommu = nil
    }
    self.seconds = seconds
    self.sockets = sockets
  }

  /// Frames delivered in a second, once both ports are known.
  func measure() throws -> Int {
    let guests = try sockets.map { try StreamingGuest(connecting: $0, iommu: iommu) }
    run(guests, seconds: 0.3)
    let before = guests.reduce(0) { $0 + $1.received }
    let start = monotonicNanoseconds()
    run(guests, seconds: seconds)
    let elapsed = Double(monotonicNanoseconds() - start) / 1e9
    return Int(Double(guests.reduce(0) { $0 + $1.received } - before) / elapsed)
  }

  private func run(_ guests: [StreamingGuest], seconds: Double) {
    let end = monotonicNanoseconds() + UInt64(seconds * 1e9)
    while monotonicNanoseconds() < end {
      for (side, guest) in guests.enumerated() {
        guest.receive { _ in }
        guest.send(32) { Self.write(side, to: $0) }
      }
    }
  }

  // SAFETY: the buffer has room for the longest frame.
  private static func write(_ side: Int, to buffer: UnsafeMutableRawPointer) -> Int {
    let (own, other) = side == 0 ? (0x0200_0000_0001, 0x0200_0000_0002) : (0x0200_0000_0002, 0x0200_0000_0001)
    let addresses = UInt64(other) << 16 | UInt64(own) >> 32
    buffer.storeBytes(of: addresses.bigEndian, as: UInt64.self)
    buffer.storeBytes(of: UInt32(truncatingIfNeeded: own).bigEndian, toByteOffset: 8, as: UInt32.self)
    buffer.storeBytes(of: UInt16(0x88B5).bigEndian, toByteOffset: 12, as: UInt16.self)
    return 64
  }
}
