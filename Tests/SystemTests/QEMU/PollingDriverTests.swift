import Testing

// A guest whose driver is DPDK's: it polls, in huge pages of its own, and wants no interrupts.
extension GuestSystem {
  @Suite(.takesMinutes, .needsGuests, .needs("dpdk-testpmd")) struct PollingDrivers {
    /// What testpmd loads by itself: of its drivers only those it needs.
    private static let libraries =
      ["bus_pci", "net_virtio", "mempool_ring"].map {
        "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_\($0).so.23.0"
      } + ["/usr/lib/x86_64-linux-gnu/libgcc_s.so.1"]

    @Test(arguments: [CardOptions.Layout.split, .packed])
    func `A guest that polls answers pings, and sends as fast as it can`(layout: CardOptions.Layout) throws {
      try withLab { lab in
        var options = CardOptions(layout: layout).guest
        options.processor = "max"
        options.megabytes = 512
        options.kernel = ["hugepages=100"]
        options.programs = ["dpdk-testpmd"] + Self.libraries
        let guest = try lab.addGuest("vm1", options: options)
        let host = try lab.addHost("veth1")
        try guest.start()
        try guest.reaches(host)
        try giveToDPDK(guest)

        try Matrix.check(Guest.frontEnd, ["polling DPDK driver"]) {
          // Answers ARP and ICMP echo requests for any address.
          try forward(guest, "icmpecho") {
            try host.reaches(guest)
            try #require(try host.ping(guest, count: 50).succeeded)
            try #require(try host.ping(guest, count: 10, size: 1400).succeeded)
          }
          try forward(guest, "txonly") {
            try eventually("1,000 frames of the guest's have reached the host", within: 120) {
              try received(host) > 1000
            }
            let before = try (lab.statistics("vm1"), received(host))
            try eventually("10,000 more have", within: 120) { try received(host) > before.1 + 10_000 }
            let now = try lab.statistics("vm1")
            try #require(now["rx_q0_calls"] == before.0["rx_q0_calls"], "nobody waits for an interrupt")
          }
          // The kernel's driver takes over again.
          try returnToKernel(guest)
          try guest.reaches(host)
          try #require(try Transfer.send(megabytes: 1, from: host, to: guest).isIntact)
        }
      }
    }

    /// Frames that have come to a host, by its own kernel's count.
    private func received(_ host: Host) throws -> Int {
      let devices = try host.namespace.run(["cat", "/proc/net/dev"]).split(whereSeparator: \.isNewline)
      guard let line = devices.first(where: { $0.contains("\(host.device):") }) else {
        throw HarnessError("\(devices)")
      }
      let words = line.split { $0 == " " || $0 == ":" }
      return words.count > 2 ? Int(words[2]) ?? 0 : 0
    }

    private let card = "$(cat /tmp/card)"

    private func giveToDPDK(_ guest: Guest) throws {
      try guest.must(
        """
        basename $(readlink -f /sys/class/net/eth0/device/..) >/tmp/card && mkdir -p /dev/hugepages /var/run && \
        mount -t hugetlbfs none /dev/hugepages && insmod /modules/uio.ko && insmod /modules/uio_pci_generic.ko
        """)
      try setDriver(guest, "uio_pci_generic")
    }

    private func returnToKernel(_ guest: Guest) throws {
      try setDriver(guest, "virtio-pci")
      try guest.must("ip address add \(guest.address)/24 dev eth0 && ip link set eth0 up")
    }

    private func setDriver(_ guest: Guest, _ driver: String) throws {
      let device = "/sys/bus/pci/devices/\(card)"
      try guest.must(
        "echo \(driver) >\(device)/driver_override && echo \(card) >\(device)/driver/unbind && "
          + "echo \(card) >/sys/bus/pci/drivers_probe && test -e /sys/bus/pci/drivers/\(driver)/\(card)")
    }

    /// Runs testpmd in the guest in a forwarding mode while `body` runs.
    private func forward(_ guest: Guest, _ mode: String, _ body: () throws -> Void) throws {
      try guest.must(
        "dpdk-testpmd --lcores=0@0,1@0 -m 128 -a \(card) --no-telemetry -- --nb-cores=1 --auto-start "
          + "--total-num-mbufs=4096 --forward-mode=\(mode) --stats-period=1 >/tmp/testpmd.log 2>&1 & "
          + "echo $! >/tmp/testpmd.pid")
      do { try body() } catch {
        throw HarnessError("\(error)\ntestpmd in the guest: \(try guest.must("cat /tmp/testpmd.log"))")
      }
      try guest.must(
        "kill -INT $(cat /tmp/testpmd.pid); while kill -0 $(cat /tmp/testpmd.pid) 2>/dev/null; do usleep 50000; done"
      )
    }
  }
}
