// Requests about guest memory, whole or slot by slot, and the log of writes to it. Poll threads are out of the way.

import Linux
import Virtio

extension Session {
  func setMemoryTable(_ message: Message) throws(SessionError) -> Reply {
    let count: UInt32 = message.word(0)
    let length = GuestRegionDescription.length
    guard count > 0, count <= Message.maximumDescriptors, message.payload.count == 8 + length * Int(count)
    else {
      throw .violation("SET_MEM_TABLE with \(count) regions has \(message.payload.count) bytes of payload")
    }
    let regions = (0..<Int(count)).map { GuestRegionDescription(message, at: 8 + length * $0) }
    // The old mappings go first: both at once could exceed the address space.
    replaceMemory(nil)
    do { replaceMemory(try GuestMemory(regions, files: message.descriptors.map(\.raw))) } catch {
      throw .violation("SET_MEM_TABLE: \(error)")
    }
    try checkLog(message)
    if let index = vrings.firstIndex(where: { $0.isRunnable && $0.isDisplaced }) {
      throw .violation("SET_MEM_TABLE takes away the memory of ring \(index), which is started")
    }
    return .done
  }

  /// QEMU before 8.0 says each change of memory once for every queue pair: a region that is there already, exactly so,
  /// is no contradiction.
  func addMemoryRegion(_ message: Message) throws(SessionError) -> Reply {
    guard message.descriptors.count == 1 else {
      throw .violation("ADD_MEM_REG came with \(message.descriptors.count) file descriptors instead of 1")
    }
    let region = GuestRegionDescription(message, at: 8)
    guard memory?.descriptions.contains(region) != true else { return .done }
    let file = message.descriptors[0].raw
    do {
      replaceMemory(
        try memory?.adding(region, file: file) ?? GuestMemory([region], files: [file]))
    } catch { throw .violation("ADD_MEM_REG: \(error)") }
    try checkLog(message)
    return .done
  }

  /// A region that is not there was removed for another queue pair, which may have put a different one in its place. A
  /// descriptor that came along, as with some front-ends, is closed with the message.
  func removeMemoryRegion(_ message: Message) throws(SessionError) -> Reply {
    guard message.descriptors.count <= 1 else {
      throw .violation("REM_MEM_REG came with \(message.descriptors.count) file descriptors")
    }
    let rest = memory?.removing(GuestRegionDescription(message, at: 8))
    if rest !== memory { replaceMemory(rest) }
    return .done
  }

  /// Rings that are no longer in memory cannot be used, those that are again can. Translations led to memory as it was.
  private func replaceMemory(_ memory: GuestMemory?) {
    self.memory = memory
    if features?.contains(.accessPlatform) == true { resetTranslations() }
    for index in vrings.indices { vrings[index].isDisplaced = !isPlaced(index) }
  }

  // MARK: the dirty log

  /// Answered in any case: front-ends wait until the log is in use.
  func setLogBase(_ message: Message) throws(SessionError) -> Reply {
    guard message.descriptors.count == 1 else {
      throw .violation("SET_LOG_BASE came with \(message.descriptors.count) file descriptors instead of 1")
    }
    do {
      logMapping = try DirtyLogMapping(
        message.descriptors[0].raw, offset: message.word(8), size: message.word(0))
    } catch { throw .violation("SET_LOG_BASE: \(error)") }
    try checkLog(message, isNew: true)
    return .payload(littleEndian(0 as UInt64))
  }

  /// The eventfd could tell the front-end that the log has changed. Front-ends look at the log when they need it, so
  /// it is not kept.
  func setLogDescriptor(_ message: Message) throws(SessionError) -> Reply {
    guard message.descriptors.count == 1, message.descriptors[0].isEventDescriptor else {
      throw .violation("SET_LOG_FD came without an eventfd")
    }
    return .done
  }

  /// Writes that cannot be logged would be lost in a migration. A log left over from one that ended is put away.
  private func checkLog(_ message: Message, isNew: Bool = false) throws(SessionError) {
    guard let memory, let mapping = logMapping, !mapping.covers(memory) else { return }
    logMapping = nil
    guard isNew || features?.contains(.logAll) == true else { return }
    throw .violation(
      "\(message.requestName): a dirty log of \(mapping.size) bytes does not cover guest memory up to address 0x\(hexadecimal(memory.lastAddress))"
    )
  }
}
