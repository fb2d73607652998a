/// Why a frame was not forwarded. Every frame that is not is counted under exactly one of these, on the port named.
public enum DropReason: Int, CaseIterable, Sendable {
  // Counted on the port the frame came in by.
  /// The kernel had no room left to keep it for the poll thread, which was too slow.
  case missed
  /// Shorter than an Ethernet header.
  case runt
  /// Longer than any frame can be, or a descriptor chain of too many parts.
  case oversized
  /// A descriptor points outside guest memory, or its chain is malformed.
  case badDescriptor
  /// A virtio-net header (offload request) that contradicts its frame.
  case badOffload
  /// The guest sent it on a queue that was switched off.
  case ringDisabled
  /// A group address as source.
  case badSource
  /// To 01:80:c2:00:00:0x, which bridges keep to themselves.
  case reservedAddress
  /// The frame's VLAN is not one of the port's.
  case vlanNotAllowed
  /// Broadcast, multicast or to an unknown address, beyond the port's storm limit.
  case stormLimit
  /// A flow has no actions, or none that send the frame anywhere.
  case flow
  /// A flow table held no flow for it.
  case tableMiss
  /// `dec_ttl` on a frame with nothing left.
  case timeToLive
  /// Flows that resubmit without end, push a third tag, or send to thousands of ports.
  case pipelineError
  /// IPv6 extension headers that go on beyond the 240 bytes flows look at: no flow can be told for such a frame.
  case headersTooLong
  /// Beyond a meter's rate.
  case meter
  /// For a controller, and there is none.
  case noController
  /// The destination is behind the port the frame came from, or there is nowhere to send it.
  case noOutput
  // Counted on the port the frame was to leave by.
  /// The receiver offers no room: a guest slower than its traffic, a full socket or device queue.
  case receiverFull
  /// No guest is connected, its driver is not ready, or the interface is down.
  case notReady
  /// The guest has switched off the queues it receives by.
  case receiverDisabled
  /// The buffer it was to go into is not translated by the vIOMMU yet.
  case untranslated
  /// Longer than the port's MTU allows.
  case exceedsMTU
  /// A receive buffer too small for the frame, or for its header.
  case bufferTooSmall
  /// A receive descriptor points outside guest memory, or its chain is malformed.
  case badReceiveDescriptor
  /// The kernel refused the frame for a reason other than lack of room.
  case deviceError

  /// The name in statistics: `rx_drop_runt`, `tx_drop_receiver_full`.
  public var statisticName: String {
    switch self {
    case .missed: "rx_drop_missed"
    case .runt: "rx_drop_runt"
    case .oversized: "rx_drop_oversized"
    case .badDescriptor: "rx_drop_bad_descriptor"
    case .badOffload: "rx_drop_bad_offload"
    case .ringDisabled: "rx_drop_ring_disabled"
    case .badSource: "rx_drop_bad_source"
    case .reservedAddress: "rx_drop_reserved_address"
    case .vlanNotAllowed: "rx_drop_vlan_not_allowed"
    case .stormLimit: "rx_drop_storm_limit"
    case .flow: "rx_drop_flow"
    case .tableMiss: "rx_drop_table_miss"
    case .timeToLive: "rx_drop_time_to_live"
    case .pipelineError: "rx_drop_pipeline_error"
    case .headersTooLong: "rx_drop_headers_too_long"
    case .meter: "rx_drop_meter"
    case .noController: "rx_drop_no_controller"
    case .noOutput: "rx_drop_no_output"
    case .receiverFull: "tx_drop_receiver_full"
    case .notReady: "tx_drop_not_ready"
    case .receiverDisabled: "tx_drop_ring_disabled"
    case .untranslated: "tx_drop_untranslated"
    case .exceedsMTU: "tx_drop_exceeds_mtu"
    case .bufferTooSmall: "tx_drop_buffer_too_small"
    case .badReceiveDescriptor: "tx_drop_bad_descriptor"
    case .deviceError: "tx_drop_device_error"
    }
  }

  public var isReceive: Bool { rawValue <= DropReason.noOutput.rawValue }
}
