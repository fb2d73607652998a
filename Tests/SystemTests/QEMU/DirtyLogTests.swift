import Glibc
import Testing

// What the switch writes into a guest's memory while the guest moves has to reach the new place too: QEMU knows of it
// only by the dirty log.
extension GuestSystem {
  @Suite(.needsGuests) struct DirtyLogs {
    /// The guest's kernel has ended, so that nobody else writes to the buffers it had ready. One that runs would hide
    /// what a log has missed, because it writes to the same pages soon after; and QEMU 7.2 loses some of what an emulated
    /// processor writes (Migration.swift).
    @Test(arguments: [CardOptions.Layout.split, .packed])
    func `Every page of a guest that moves while frames arrive is as it was`(layout: CardOptions.Layout)
      throws
    {
      try withLab { lab in
        let files = ["source", "destination"].map {
          Scratch.shared.path("ram-\($0)-\(Scratch.shared.number())")
        }
        defer { for file in files { unlink(file) } }
        var options = CardOptions(layout: layout, ringSize: 1024).guest
        options.kernel = ["panic=0"]
        options.memory = .file(files[0])
        let guest = try lab.addGuest("vm1", options: options)
        let host = try lab.addHost("veth1")
        let destination = try lab.addDestination("vm2", of: guest) {
          $0.memory = .file(files[1])
          // What was sent has to stay as it is.
          $0.isPaused = true
        }
        try guest.start()
        try destination.launch()
        try guest.reaches(host)
        try guest.crash()
        try Matrix.check(Guest.frontEnd, ["live migration"]) {
          try withFrames(to: guest, from: host) {
            let before = try received(lab)
            try eventually("frames arrive") { try received(lab) > before + 20 }
            try Migration.run(from: guest, to: destination)
            try #require(try received(lab) > before + 200)
          }
          let differing = try pagesThatDiffer(files[0], files[1])
          try #require(differing.isEmpty, "\(differing.count) pages: \(differing.prefix(20))")
        }
      }
    }

    private func received(_ lab: Lab) throws -> Int { try lab.counters("vm1")["tx_packets", default: 0] }

    /// Random frames for a guest that does not answer while `body` runs: so few that its ring has buffers for as long
    /// as a migration takes.
    private func withFrames(to guest: Guest, from host: Host, _ body: () throws -> Void) throws {
      try host.namespace.run([
        "ip", "neighbour", "replace", guest.address, "lladdr", guest.mac, "nud", "permanent", "dev", "eth0",
      ])
      try host.limit("2mbit")
      let sender = try host.namespace.start([
        "socat", "-u", "-b", "1400", "OPEN:/dev/urandom", "UDP-SENDTO:\(guest.address):9",
      ])
      try body()
      try #require(sender.isRunning)
      sender.kill()
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
