import Testing
import Virtio

// A guest whose card is behind an IOMMU: all addresses it gives the switch have to be translated, as long as the guest
// says so and no longer.
extension GuestSystem {
  @Suite(.takesMinutes, .needsGuests, .needs("ethtool")) struct Translations {
    /// The guest's kernel takes mappings back at once, or has one for all memory that stays.
    @Test(arguments: ["iommu.strict=1", "iommu=pt"])
    func `A guest behind an IOMMU exchanges frames`(mode: String) throws {
      try check(CardOptions(), mode)
    }

    @Test func `A guest behind an IOMMU with packed rings and four queues`() throws {
      try check(CardOptions(layout: .packed, queues: 4, role: .listens), "iommu.strict=1")
    }

    /// The guest's kernel takes all mappings back every few milliseconds, those of the rings among them. What comes before
    /// they are back waits.
    @Test(arguments: [CardOptions.Layout.split, .packed])
    func `A guest whose IOMMU forgets everything again and again exchanges frames`(layout: CardOptions.Layout)
      throws
    {
      try check(CardOptions(layout: layout), "iommu.strict=0")
    }

    private func check(_ card: CardOptions, _ mode: String) throws {
      try withLab { lab in
        var options = card.guest
        options.iommu = true
        options.kernel = [mode]
        let guest = try lab.addGuest("vm1", role: card.role, options: options)
        let host = try lab.addHost("veth1")
        try guest.start()
        try guest.must("test -e /sys/class/net/eth0/device/../iommu_group")
        try Matrix.check(Guest.frontEnd, ["vIOMMU"]) {
          try checkTraffic(guest, host, card.queues)
          try #require(VirtioFeatures(rawValue: try lab.features("vm1")).contains(.accessPlatform))
          let dropped = try lab.statistics("vm1")["tx_drop_untranslated", default: 0]
          try #require(dropped == 0, "what comes while there are no translations waits")
          // Rings and buffers are elsewhere each time.
          try guest.rebind()
          try checkTraffic(guest, host, card.queues)
          try guest.reboot()
          try checkTraffic(guest, host, card.queues)
        }
      }
    }

    private func checkTraffic(_ guest: Guest, _ host: Host, _ queues: Int) throws {
      if queues > 1 { try guest.must("ethtool -L eth0 combined \(queues)") }
      try guest.reaches(host)
      try host.reaches(guest)
      try #require(try Transfer.send(megabytes: 2, from: guest, to: host).isIntact)
      try #require(try Transfer.send(megabytes: 2, from: host, to: guest).isIntact)
    }
  }
}
