import Testing
import Virtio

@Suite struct FeatureNameTests {
  @Test func `Every feature that is implemented has a name, and no name or bit comes twice`() {
    #expect(!VirtioFeatures.implemented.names.contains { $0.hasPrefix("bit ") })
    #expect(Set(VirtioFeatures.names.map(\.name)).count == VirtioFeatures.names.count)
    #expect(VirtioFeatures.names.map(\.bit) == Set(VirtioFeatures.names.map(\.bit)).sorted())
    #expect(Set(VirtioFeatures.selectableNames).count == VirtioFeatures.selectableNames.count)
  }

  @Test func `Names come in the order of bits, and a bit without one by its number`() {
    let features: VirtioFeatures = [.packedRing, .checksum, VirtioFeatures(rawValue: 1 << 61)]
    #expect(features.names == ["csum", "packed", "bit 61"])
  }

  @Test func `A name means one feature, a group several`() {
    #expect(VirtioFeatures(named: "mrg_rxbuf") == .mergeableReceiveBuffers)
    #expect(VirtioFeatures(named: "iommu") == .accessPlatform)
    #expect(
      VirtioFeatures(named: "tso") == [
        .guestTSO4, .guestTSO6, .guestECN, .hostTSO4, .hostTSO6, .hostECN,
      ])
    #expect(
      VirtioFeatures(named: "gso")?.isSuperset(of: [.guestTSO4, .hostTSO6, .guestUSO4, .guestUSO6, .hostUSO])
        == true)
    #expect(VirtioFeatures(named: "CSUM") == nil)
    // The switch does not work without them.
    #expect(VirtioFeatures(named: "version_1") == nil && VirtioFeatures(named: "protocol_features") == nil)
    for name in VirtioFeatures.selectableNames {
      #expect(VirtioFeatures(named: name)?.isEmpty == false, "\(name)")
    }
  }

  @Test func `What depends on a feature goes with it`() {
    #expect(
      VirtioFeatures.checksum.withDependents.names == [
        "csum", "host_tso4", "host_tso6", "host_ecn", "host_ufo", "host_uso",
      ])
    #expect(
      VirtioFeatures.guestChecksum.withDependents.names == [
        "guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo", "guest_uso4", "guest_uso6",
      ])
    #expect(VirtioFeatures.controlQueue.withDependents == [.controlQueue, .multiqueue, .guestAnnounce])
    #expect(VirtioFeatures.packedRing.withDependents == .packedRing)
  }

  @Test func `What needs one of two stays as long as there is one`() {
    #expect(VirtioFeatures.hostTSO4.withDependents == .hostTSO4)
    #expect(VirtioFeatures([.hostTSO4, .hostTSO6]).withDependents == [.hostTSO4, .hostTSO6, .hostECN])
  }

  @Test(arguments: VirtioFeatures.names.map(\.bit))
  func `Dependents of dependents are there already`(bit: Int) {
    let features = VirtioFeatures(rawValue: 1 << UInt64(bit)).withDependents
    #expect(features.withDependents == features)
  }
}
