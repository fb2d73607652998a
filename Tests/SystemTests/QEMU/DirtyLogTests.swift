import Glibc
import Testing

// What the switch writes into a guest's memory while the guest moves has to reach the new place too: QEMU knows of it
// only by the dirty log.
extension System {
  @Suite(.needsGuests) struct DirtyLogs {
    /// A guest that runs writes, soon after the switch, to the same pages, which hides what a log has missed. In one
    /// whose kernel has ended nobody else writes to the buffers it had ready.
    @Test(arguments: [CardOptions.Layout.split, .packed])
    func `Every page of a guest that moves while frames arrive is as it was`(layout: CardOptions.Layout)
      throws
    {
      try withMovingGuest(layout, kernel: ["panic=0"]) { lab, guest, host, destination in
        try host.namespace.run([
          "ip", "neighbour", "replace", guest.address, "lladdr", guest.mac, "nud", "permanent", "dev", "eth0",
        ])
        try guest.crash()
        // The ring has buffers for as long as the migration takes.
        try flood(guest, host, rate: "2mbit") {
          let before = try lab.counters("vm1")["tx_packets", default: 0]
          try eventually("frames arrive") { try lab.counters("vm1")["tx_packets", default: 0] > before + 20 }
          try Migration.run(from: guest, to: destination)
          try #require(try lab.counters("vm1")["tx_packets", default: 0] > before + 200)
        }
      }
    }

    @Test(arguments: [CardOptions.Layout.split, .packed])
    func `Every page of a guest that moves under a flood of frames is as it was, and it goes on`(
      layout: CardOptions.Layout
    ) throws {
      try withMovingGuest(layout) { lab, guest, host, destination in
        // About as many as an emulated guest can take.
        try flood(guest, host, rate: "100mbit") {
          let received = "cat /sys/class/net/eth0/statistics/rx_packets"
          let before = try #require(Int(try guest.must(received)))
          try eventually("the flood is under way") { try Int(guest.must(received)) ?? 0 > before + 1000 }
          try Migration.run(from: guest, to: destination)
        }
      } afterwards: { host, destination in
        try destination.monitor().run("cont")
        try destination.reaches(host)
      }
    }

    /// Moves a guest to a QEMU that leaves it stopped, so that its memory stays what was sent, and compares the two.
    private func withMovingGuest(
      _ layout: CardOptions.Layout, kernel: [String] = [], move: (Lab, Guest, Host, Guest) throws -> Void,
      afterwards: (Host, Guest) throws -> Void = { _, _ in }
    ) throws {
      try withLab { lab in
        let files = ["source", "destination"].map {
          Scratch.shared.path("ram-\($0)-\(Scratch.shared.number())")
        }
        defer { for file in files { unlink(file) } }
        var options = CardOptions(layout: layout, ringSize: 1024).guest
        options.kernel = kernel
        options.memory = .file(files[0])
        let guest = try lab.addGuest("vm1", options: options)
        let host = try lab.addHost("veth1")
        let destination = try lab.addDestination("vm2", of: guest) {
          $0.memory = .file(files[1])
          $0.isPaused = true
        }
        try guest.start()
        try destination.launch()
        try guest.reaches(host)
        try Matrix.check(Guest.frontEnd, ["live migration"]) {
          try move(lab, guest, host, destination)
          let differing = try pagesThatDiffer(files[0], files[1])
          try #require(differing.isEmpty, "\(differing.count) pages: \(differing.prefix(20))")
          try afterwards(host, destination)
        }
      }
    }

    /// Random frames to the guest while `body` runs.
    private func flood(_ guest: Guest, _ host: Host, rate: String, _ body: () throws -> Void) throws {
      try host.limit(rate)
      let flood = try host.namespace.start([
        "socat", "-u", "-b", "1400", "OPEN:/dev/urandom", "UDP-SENDTO:\(guest.address):9",
      ])
      try body()
      try #require(flood.isRunning)
      flood.kill()
      try host.removeLimit()
    }

    @Test func `A page that differs is found`() throws {
      let files = ["a", "b"].map { Scratch.shared.path("pages-\($0)-\(Scratch.shared.number())") }
      defer { for file in files { unlink(file) } }
      for file in files { try must(["dd", "if=/dev/zero", "of=\(file)", "bs=4096", "count=5"]) }
      #expect(try pagesThatDiffer(files[0], files[1]) == [])
      try must(["sh", "-c", "printf x | dd of=\(files[1]) bs=1 seek=12300 conv=notrunc"])
      #expect(try pagesThatDiffer(files[0], files[1]) == [3])
    }

    /// The numbers of the pages in which two files of one size are not the same.
    private func pagesThatDiffer(_ first: String, _ second: String) throws -> [Int] {
      let descriptors = [open(first, O_RDONLY | O_CLOEXEC), open(second, O_RDONLY | O_CLOEXEC)]
      defer { for descriptor in descriptors where descriptor >= 0 { close(descriptor) } }
      let size = descriptors.map { lseek($0, 0, SEEK_END) }
      guard size[0] > 0, size[0] == size[1] else {
        throw HarnessError("files of \(size) bytes: \(first), \(second)")
      }
      let length = Int(size[0])
      let maps = descriptors.map { mmap(nil, length, PROT_READ, MAP_SHARED, $0, 0) }
      guard let left = maps[0], let right = maps[1], left != MAP_FAILED, right != MAP_FAILED else {
        throw HarnessError("cannot map \(first) and \(second)")
      }
      defer {
        munmap(left, length)
        munmap(right, length)
      }
      // SAFETY: both mappings are `length` bytes, a multiple of 4096, and stay until the end of this function.
      return (0..<length / 4096).filter { memcmp(left + $0 * 4096, right + $0 * 4096, 4096) != 0 }
    }
  }
}
