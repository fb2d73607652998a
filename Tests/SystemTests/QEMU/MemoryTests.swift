import JSONRPC
import Testing

// The memory of a guest: that which comes while it runs, and huge pages.
extension GuestSystem {
  @Suite(.needsGuests) struct GuestMemory {
    /// The kernel takes memory above 4 GiB before any below, and all of this guest's first memory is below: so its
    /// buffers are in what was plugged in.
    @Test(arguments: [CardOptions.Layout.split, .packed])
    func `Frames go through memory that was plugged in`(layout: CardOptions.Layout) throws {
      try withGuest(layout) { lab, guest, host in
        try Matrix.check(Guest.frontEnd, ["memory hotplug"]) {
          try plug(1, of: 256, into: guest)
          let before = try usedHighPages(guest)
          try guest.rebind()
          // A page holds two or three of the driver's 1024 buffers.
          let now = try usedHighPages(guest)
          try #require(now > before + 1024 / 3, "\(before) pages, now \(now)")
          try checkTraffic(guest, host)
        }
      }
    }

    @Test func `More regions of memory than one message can hold`() throws {
      try withGuest(.split) { lab, guest, host in
        try Matrix.check(Guest.frontEnd, ["more than 8 memory regions"]) {
          try plug(12, of: 128, into: guest)
          try guest.rebind()
          try guest.must("mkdir /ballast && mount -t tmpfs -o size=2g none /ballast")
          // What was free first is used up bit by bit, so that later buffers are elsewhere.
          for number in 0..<12 {
            try guest.must("dd if=/dev/zero of=/ballast/\(number) bs=1M count=110 2>/dev/null", within: 60)
            try checkTraffic(guest, host)
          }
        }
      }
    }

    @Test func `A guest in huge pages`() throws {
      try withLab { lab in
        try withHugepages(512) {
          let guest = try lab.addGuest("vm1", options: GuestOptions(memory: .hugepages))
          let host = try lab.addHost("veth1")
          try Matrix.check(Guest.frontEnd, ["hugepages"]) {
            try guest.start()
            try checkTraffic(guest, host)
          }
          guest.kill()
        }
      }
    }

    private func withGuest(
      _ layout: CardOptions.Layout, _ body: (Lab, Guest, Host) throws -> Void
    ) throws {
      try withLab { lab in
        var options = CardOptions(layout: layout, ringSize: 1024).guest
        options.memorySlots = 16
        options.kernel = ["memhp_default_state=online"]
        let guest = try lab.addGuest("vm1", options: options)
        let host = try lab.addHost("veth1")
        try guest.start()
        try guest.reaches(host)
        try body(lab, guest, host)
      }
    }

    /// Plugs in modules of so many megabytes, and waits until the guest has them.
    private func plug(_ count: Int, of megabytes: Int, into guest: Guest) throws {
      let total = "awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo"
      let before = try #require(Int(try guest.must(total)))
      for number in 0..<count {
        try guest.monitor().run(
          "object-add",
          [
            "qom-type": "memory-backend-memfd", "id": .string("more\(number)"), "share": true,
            "size": .integer(Int64(megabytes) << 20),
          ])
        try guest.monitor().run(
          "device_add",
          ["driver": "pc-dimm", "id": .string("dimm\(number)"), "memdev": .string("more\(number)")])
      }
      try eventually("the guest has \(count) times \(megabytes) MiB more") {
        try #require(Int(try guest.must(total))) > before + count * megabytes * 9 / 10
      }
    }

    /// Pages in use of the zone above 4 GiB.
    private func usedHighPages(_ guest: Guest) throws -> Int {
      let text = try guest.must(
        "awk '/^Node/ { zone = $4 } zone == \"Normal\" && $1 == \"managed\" { all = $2 } "
          + "zone == \"Normal\" && $1 == \"pages\" { free = $3 } END { print all - free }' /proc/zoneinfo")
      return try #require(Int(text), "\(text)")
    }

    private func checkTraffic(_ guest: Guest, _ host: Host) throws {
      try guest.reaches(host)
      try host.reaches(guest)
      try #require(try Transfer.send(megabytes: 1, from: guest, to: host).isIntact)
      try #require(try Transfer.send(megabytes: 1, from: host, to: guest).isIntact)
    }
  }
}
