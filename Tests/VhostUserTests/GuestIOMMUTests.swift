import Linux
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// What the test guest's IOMMU answers.
@Suite struct GuestIOMMUTests {
  private typealias Message = GuestIOMMU.Message

  @Test func `Memory mapped for good is answered by region`() throws {
    let ram = try GuestRAM(size: 1 << 20, shape: .swappedHalves)
    let iommu = GuestIOMMU(ram, .fixed(offset: 1 << 40))
    #expect(iommu.map(0x1234, 10, .read).iova == 1 << 40 + 0x1234)
    for region in ram.regions {
      let miss = Message(.miss, iova: region.guestAddress + 1 << 40 + 0x10, access: .write)
      let update = Message(
        .update, iova: region.guestAddress + 1 << 40, size: region.size, userAddress: region.userAddress,
        access: .readWrite)
      #expect(iommu.update(for: miss) == update)
    }
    #expect(iommu.update(for: Message(.miss, iova: 0x1000, access: .read)) == nil)
    #expect(iommu.update(for: Message(.miss, iova: 1 << 40 + 1 << 20, access: .read)) == nil)
  }

  @Test func `A buffer's pages are there while it is mapped, for its kind of access`() throws {
    let ram = try GuestRAM(size: 1 << 20)
    let iommu = GuestIOMMU(ram, .perBuffer)
    var invalidated: [Message] = []
    iommu.invalidate = { invalidated.append($0) }
    let mapping = iommu.map(0x1F00, 0x300, .read)
    #expect(mapping.iova % 4096 == 0xF00)
    let second = Message(.miss, iova: mapping.iova + 0x100, access: .read)
    #expect(
      iommu.update(for: second)
        == Message(
          .update, iova: mapping.iova + 0x100, size: 4096, userAddress: ram.userAddress(0x2000), access: .read
        ))
    #expect(iommu.update(for: Message(.miss, iova: mapping.iova, access: .write)) == nil)
    iommu.unmap(mapping)
    #expect(invalidated == [Message(.invalidate, iova: mapping.iova - 0xF00, size: 8192)])
    #expect(iommu.update(for: second) == nil)
    #expect(iommu.map(0x5010, 5000, .write).iova == mapping.iova - 0xF00 + 0x10, "the same IOVA again")
  }

  @Test func `A queue behind it tells the device other addresses`() throws {
    let ram = try GuestRAM(size: 1 << 20)
    for features in [VirtioFeatures(), .packedRing] {
      let queue = try GuestQueue(ram, size: 8, features: features)
      let iommu = GuestIOMMU(ram, .perBuffer)
      queue.attach(iommu)
      queue.add([.init(0x3010, 100, isWritable: true)], indirect: true)
      let table = ram.load64(queue.descriptors)
      let entry = try #require(iommu.update(for: Message(.miss, iova: table, access: .read)))
      let place = entry.userAddress + table % 4096 - ram.userAddress(0)
      let buffer = try #require(
        iommu.update(for: Message(.miss, iova: ram.load64(place), access: .write)))
      #expect(buffer.userAddress == ram.userAddress(0x3000))
      #expect(buffer.access == .write)
      let addresses = ScriptedFrontEnd.addresses(queue, index: 0)
      #expect(addresses.descriptors == queue.deviceAddresses.descriptors && addresses.log == queue.used)
      #expect(iommu.update(for: Message(.miss, iova: addresses.used, access: .write)) != nil)
    }
  }

  @Test func `Its messages have 32 bytes, and are read as they are written`() {
    let message = Message(.update, iova: 1 << 40, size: 4096, userAddress: 7 << 30, access: .write)
    #expect(message.bytes.count == 32)
    #expect(message.bytes[24...25] == [2, 2])
    #expect(Message(VhostUser.Message(.iotlbMessage, payload: message.bytes)) == message)
    #expect(Message(VhostUser.Message(.iotlbMessage, payload: [1, 2, 3])) == nil)
  }

  @Test func `The dirty log lists pages in order, and forgets them when taken`() throws {
    let ram = try GuestRAM(size: 1 << 20, start: 1 << 20)
    let log = try GuestDirtyLog(ram, offset: 4096)
    #expect(log.size == 64 && log.dirtyPages == [])
    let view = try Mapping(shared: log.file.raw, length: log.size, offset: 4096)
    view.base.storeBytes(of: 0x81, toByteOffset: 63, as: UInt8.self)
    #expect(log.dirtyPages == [504, 511])
    #expect(log.take() == [504, 511] && log.take() == [] && log.isIntact)
  }
}
