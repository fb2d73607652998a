import Flow

/// Frames as flows see them, for tools: `switchctl trace --pcap`.
public enum FlowFrame {
  /// The key of a whole frame, without FCS, as if it had come in by port `inPort`; the bridge in it is 0.
  ///
  /// A frame shorter than an Ethernet header has a key of zeros beside `in_port`.
  // SAFETY: the array's bytes and the 15 words are valid within the closures.
  public static func key(of frame: [UInt8], inPort: PortNumber) -> FlowWords {
    var words = FlowWords()
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: FlowWords.packetCount) { key in
      key.initialize(repeating: 0)
      key[FlowWord.inPort] = UInt64(inPort.value) << 16
      let extent = frame.withUnsafeBytes { bytes -> KeyExtent in
        guard let header = bytes.baseAddress else {
          return KeyExtent(words: 0, networkOffset: 0, transportOffset: 0)
        }
        return KeyExtraction.extract(
          header, count: bytes.count, frameLength: bytes.count, into: key.baseAddress!)
      }
      words[FlowWord.inPort] = key[FlowWord.inPort]
      for index in 0..<extent.words { words[index] = key[index] }
    }
    return words
  }
}
