// Requests about the device as a whole: features, status, configuration. Payload sizes, features and phases have been
// checked by the table; where the table says so, poll threads are out of the way.

import Linux
import Packet
import Virtio

extension Session {
  typealias Reply = RequestTable.Reply

  func setFeatures(_ message: Message) throws(SessionError) -> Reply {
    let wanted = VirtioFeatures(rawValue: message.word(0))
    let surplus = wanted.subtracting(offeredFeatures)
    guard surplus.isEmpty else {
      throw .violation("SET_FEATURES acknowledges 0x\(hexadecimal(surplus.rawValue)), which was not offered")
    }
    let before = features ?? []
    // Logging begins and ends while frames move.
    guard phase != .running || wanted.symmetricDifference(before).subtracting(.logAll).isEmpty else {
      throw .violation("SET_FEATURES changes features while a ring is started")
    }
    features = wanted
    if before.contains(.logAll) && !wanted.contains(.logAll) { logMapping = nil }
    if wanted.contains(.accessPlatform) != (translations != nil) { resetTranslations() }
    return .done
  }

  func setProtocolFeatures(_ message: Message) throws(SessionError) -> Reply {
    let wanted = ProtocolFeatures(rawValue: message.word(0))
    let surplus = wanted.subtracting(offeredProtocolFeatures)
    guard surplus.isEmpty else {
      throw .violation(
        "SET_PROTOCOL_FEATURES acknowledges 0x\(hexadecimal(surplus.rawValue)), which was not offered")
    }
    protocolFeatures = wanted
    return .done
  }

  func setStatus(_ message: Message) throws(SessionError) -> Reply {
    let value: UInt64 = message.word(0)
    guard let value = UInt8(exactly: value) else {
      throw .violation("SET_STATUS has a status of more than 8 bits")
    }
    status = DeviceStatus(rawValue: value)
    return .done
  }

  /// Obsolete, and understood as the specification recommends: disable all rings.
  func resetOwner() -> Reply {
    for index in vrings.indices { vrings[index].disable() }
    return .done
  }

  /// Rings and status are as in the beginning. Memory and features belong to the front-end, who keeps them.
  func resetDevice() -> Reply {
    for index in vrings.indices { vrings[index] = Vring() }
    untranslated = []
    status = []
    return .done
  }

  // MARK: the network device

  func setMTU(_ message: Message) -> Reply {
    let value: UInt64 = message.word(0)
    guard (68...65_535).contains(value) else { return .failed("an MTU of \(value) bytes is out of range") }
    mtu = Int(value)
    return .done
  }

  /// The address is in the first six bytes, as on the wire.
  func sendRARP(_ message: Message) -> Reply {
    let address = MACAddress(wire: message.payload)
    guard !address.isGroup, address.bits != 0 else { return .failed("\(address) is no address of a card") }
    owner?.announce(self, address: address)
    return .done
  }

  // MARK: its configuration

  /// Changes what GET_CONFIG answers. The front-end is told if it can be.
  public func configure(_ configuration: DeviceConfiguration) {
    guard configuration != self.configuration else { return }
    self.configuration = configuration
    guard protocolFeatures.isSuperset(of: [.configuration, .backendRequests]) else { return }
    // One that does not fit is no loss: a front-end that far behind has not read the last one.
    _ = channel.send(.configurationChange, [])
  }

  func getConfiguration(_ message: Message) throws(SessionError) -> Reply {
    let range = try configurationRange(message)
    guard let bytes = configurationBytes(range) else {
      Log.info(
        "vhost-user", "GET_CONFIG of \(range.size) bytes at \(range.offset) is beyond the configuration")
      return .payload([])
    }
    return .payload(range.bytes + configuration.bytes(queuePairs: queuePairs)[bytes])
  }

  /// A driver may give its card another address; everything else is for the device to say. A guest that comes from
  /// elsewhere brings the whole of it, of which again the address is taken.
  func setConfiguration(_ message: Message) throws(SessionError) -> Reply {
    let range = try configurationRange(message)
    guard range.flags <= ConfigurationRange.migration else {
      throw .violation("SET_CONFIG has unknown flags 0x\(hexadecimal(range.flags))")
    }
    guard let bytes = configurationBytes(range) else {
      return .failed("\(range.size) bytes at \(range.offset) are beyond the configuration")
    }
    let addressBytes = DeviceConfiguration.addressRange
    guard range.flags == ConfigurationRange.migration || addressBytes.upperBound >= bytes.upperBound else {
      return .failed("only the address can be written")
    }
    var address = DeviceConfiguration.addressBytes(configuration.address)
    for (position, byte) in zip(bytes, message.payload.dropFirst(ConfigurationRange.length))
    where addressBytes.contains(position) {
      address[position] = byte
    }
    configuration.address = MACAddress(wire: address)
    return .done
  }

  private func configurationRange(_ message: Message) throws(SessionError) -> ConfigurationRange {
    let range = ConfigurationRange(message)
    guard message.payload.count - ConfigurationRange.length == range.size else {
      throw .violation(
        "\(message.requestName) of \(range.size) bytes has a payload of \(message.payload.count)")
    }
    return range
  }

  /// The bytes of the structure a request is about, if it has them all.
  private func configurationBytes(_ range: ConfigurationRange) -> Range<Int>? {
    let end = Int(range.offset) + Int(range.size)
    return end <= DeviceConfiguration.length ? Int(range.offset)..<end : nil
  }
}
