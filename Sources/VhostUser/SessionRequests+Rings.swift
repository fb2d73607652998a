// What each request does. Payload sizes and phases have been checked by the table; poll threads are out of the way.

import Linux
import Virtio

extension Session {
  typealias Reply = RequestTable.Reply

  // MARK: features

  func setFeatures(_ message: Message) throws(SessionError) -> Reply {
    let wanted = VirtioFeatures(rawValue: message.word(0))
    let surplus = wanted.subtracting(offeredFeatures)
    guard surplus.isEmpty else {
      throw .violation("SET_FEATURES acknowledges 0x\(hexadecimal(surplus.rawValue)), which was not offered")
    }
    guard phase != .running || wanted == features else {
      throw .violation("SET_FEATURES changes features while a ring is started")
    }
    features = wanted
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

  func setMTU(_ message: Message) -> Reply {
    let value: UInt64 = message.word(0)
    guard (68...65_535).contains(value) else { return .failed("an MTU of \(value) bytes is out of range") }
    mtu = Int(value)
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

  /// Obsolete, and understood as: disable all rings.
  func resetOwner() -> Reply {
    for index in vrings.indices {
      vrings[index].stop()
      vrings[index].isEnabled = false
    }
    return .done
  }

  // MARK: memory

  func setMemoryTable(_ message: Message) throws(SessionError) -> Reply {
    guard message.payload.count >= 8 else { throw .violation("SET_MEM_TABLE is too short") }
    let count: UInt32 = message.word(0)
    guard count > 0, count <= GuestMemory.maximumRegions, message.payload.count == 8 + 32 * Int(count) else {
      throw .violation("SET_MEM_TABLE with \(count) regions has \(message.payload.count) bytes of payload")
    }
    let regions = (0..<Int(count)).map { index in
      let start = 8 + 32 * index
      return GuestRegionDescription(
        guestAddress: message.word(start), size: message.word(start + 8),
        userAddress: message.word(start + 16), fileOffset: message.word(start + 24))
    }
    do {
      // The old mappings go first: both at once could exceed the address space.
      memory = nil
      memory = try GuestMemory(regions, files: message.descriptors.map(\.raw))
    } catch {
      throw .violation("SET_MEM_TABLE: \(error)")
    }
    return .done
  }

  // MARK: rings

  func setVringSize(_ message: Message) throws(SessionError) -> Reply {
    let state = VringState(message)
    let index = try vringIndex(UInt64(state.index), message)
    let isPowerOfTwo = state.number & (state.number &- 1) == 0
    guard (1...SplitVirtqueue.maximumSize).contains(state.number), isPowerOfTwo else {
      throw .violation("SET_VRING_NUM: \(state.number) is not a power of two up to 32768")
    }
    guard !vrings[index].isStarted || vrings[index].size == state.number else {
      throw .violation("SET_VRING_NUM changes ring \(index) while it is started")
    }
    vrings[index].size = state.number
    return try checked(index)
  }

  func setVringAddress(_ message: Message) throws(SessionError) -> Reply {
    let addresses = VringAddresses(message)
    let index = try vringIndex(UInt64(addresses.index), message)
    guard addresses.descriptors % 16 == 0, addresses.available % 2 == 0, addresses.used % 4 == 0 else {
      throw .violation("SET_VRING_ADDR: the parts of ring \(index) are not aligned")
    }
    vrings[index].addresses = addresses
    return try checked(index)
  }

  func setVringBase(_ message: Message) throws(SessionError) -> Reply {
    let state = VringState(message)
    let index = try vringIndex(UInt64(state.index), message)
    guard let base = UInt16(exactly: state.number) else {
      throw .violation("SET_VRING_BASE: \(state.number) is not a ring index")
    }
    guard !vrings[index].isStarted else {
      throw .violation("SET_VRING_BASE moves ring \(index) while it is started")
    }
    vrings[index].base = base
    vrings[index].baseIsNew = true
    return .done
  }

  func getVringBase(_ message: Message) throws(SessionError) -> Reply {
    let index = try vringIndex(UInt64(VringState(message).index), message)
    vrings[index].stop()
    return .payload(VringState(index: UInt32(index), number: UInt32(vrings[index].base)).bytes)
  }

  func setVringEnable(_ message: Message) throws(SessionError) -> Reply {
    let state = VringState(message)
    let index = try vringIndex(UInt64(state.index), message)
    guard state.number <= 1 else { throw .violation("SET_VRING_ENABLE: \(state.number) is neither 0 nor 1") }
    vrings[index].isDisabled = vrings[index].isEnabled && state.number == 0
    vrings[index].isEnabled = state.number == 1
    return .done
  }

  func setVringKick(_ message: Message) throws(SessionError) -> Reply {
    let (index, descriptor) = try vringDescriptor(message)
    vrings[index].kick = descriptor
    vrings[index].isStarted = true
    return try checked(index)
  }

  func setVringCall(_ message: Message) throws(SessionError) -> Reply {
    let (index, descriptor) = try vringDescriptor(message)
    vrings[index].call = descriptor
    // Buffers may have gone back while the driver could not be told.
    if let descriptor, vrings[index].isStarted { EventFD.signal(descriptor.raw) }
    return .done
  }

  func setVringError(_ message: Message) throws(SessionError) -> Reply {
    let (index, descriptor) = try vringDescriptor(message)
    vrings[index].error = descriptor
    return .done
  }

  /// Checks a ring's place in memory as soon as everything about it is known.
  private func checked(_ index: Int) throws(SessionError) -> Reply {
    if let memory, vrings[index].size > 0, vrings[index].addresses != nil {
      _ = try vrings[index].layout(in: memory, index: index)
    }
    return .done
  }

  /// A ring's index, compared at full width before anything narrows it.
  private func vringIndex(_ value: UInt64, _ message: Message) throws(SessionError) -> Int {
    guard value < UInt64(vrings.count) else {
      throw .violation("\(message.requestName) names ring \(value), but there are \(vrings.count)")
    }
    return Int(value)
  }

  private func vringDescriptor(_ message: Message) throws(SessionError) -> (Int, OwnedDescriptor?) {
    let word = VringDescriptorIndex(message)
    let index = try vringIndex(word.index, message)
    guard message.descriptors.count == (word.hasDescriptor ? 1 : 0) else {
      throw .violation("\(message.requestName) came with \(message.descriptors.count) file descriptors")
    }
    guard let descriptor = message.descriptors.first else { return (index, nil) }
    guard descriptor.isEventDescriptor, descriptor.setNonBlocking() else {
      throw .violation("\(message.requestName) came with a descriptor that is not an eventfd")
    }
    return (index, descriptor)
  }
}
