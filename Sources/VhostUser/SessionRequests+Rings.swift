// Requests about rings. Payload sizes and phases have been checked by the table; poll threads are out of the way.

import Linux
import Virtio

extension Session {
  func setVringSize(_ message: Message) throws(SessionError) -> Reply {
    let state = VringState(message)
    let index = try vringIndex(UInt64(state.index), message)
    let isPowerOfTwo = state.number & (state.number &- 1) == 0
    guard (1...VirtqueueLayout.maximumSize).contains(state.number), isPowerOfTwo else {
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
    vrings[index].addresses = addresses
    return try checked(index)
  }

  func setVringBase(_ message: Message) throws(SessionError) -> Reply {
    let state = VringState(message)
    let index = try vringIndex(UInt64(state.index), message)
    guard state.number <= UInt16.max || isPacked else {
      throw .violation("SET_VRING_BASE: \(state.number) is not a ring index")
    }
    guard !vrings[index].isStarted else {
      throw .violation("SET_VRING_BASE moves ring \(index) while it is started")
    }
    vrings[index].base = state.number
    vrings[index].baseIsNew = true
    return .done
  }

  func getVringBase(_ message: Message) throws(SessionError) -> Reply {
    let index = try vringIndex(UInt64(VringState(message).index), message)
    vrings[index].stop()
    return .payload(VringState(index: UInt32(index), number: vrings[index].base).bytes)
  }

  func setVringEnable(_ message: Message) throws(SessionError) -> Reply {
    let state = VringState(message)
    let index = try vringIndex(UInt64(state.index), message)
    guard state.number <= 1 else { throw .violation("SET_VRING_ENABLE: \(state.number) is neither 0 nor 1") }
    if state.number == 0 { vrings[index].disable() } else { vrings[index].enable() }
    return .done
  }

  func setVringKick(_ message: Message) throws(SessionError) -> Reply {
    let (index, descriptor) = try vringDescriptor(message)
    // A front-end with no ring started tells nobody when translations end: QEMU listens to its IOMMU only in between.
    if translations != nil, !vrings.contains(where: \.isStarted) { resetTranslations() }
    vrings[index].kick = descriptor
    vrings[index].isStarted = true
    // Without protocol features there is no message that would enable it.
    if features?.contains(.protocolFeatures) == false { vrings[index].isDisabled = false }
    return try checked(index)
  }

  func setVringCall(_ message: Message) throws(SessionError) -> Reply {
    let (index, descriptor) = try vringDescriptor(message)
    vrings[index].call = descriptor
    // Buffers may have gone back while the driver could not be told.
    if let descriptor, vrings[index].isStarted { EventFD.signalPeer(descriptor.raw) }
    return .done
  }

  func setVringError(_ message: Message) throws(SessionError) -> Reply {
    let (index, descriptor) = try vringDescriptor(message)
    vrings[index].error = descriptor
    return .done
  }

  /// Checks a ring as soon as something about it is known.
  private func checked(_ index: Int) throws(SessionError) -> Reply {
    try vrings[index].check(index, isPacked: isPacked)
    guard isPlaced(index) else { throw misplaced(index) }
    vrings[index].isDisplaced = false
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
