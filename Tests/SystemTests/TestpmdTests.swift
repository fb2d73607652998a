import Glibc
import Testing

// DPDK's virtio-user driver: an independent front-end that polls, and is far faster than a guest under emulation.
extension System {
  @Suite(.needs("dpdk-testpmd")) struct Testpmd {
    @Test(arguments: ["", ",mrg_rxbuf=0", ",in_order=0,queue_size=1024", ",vectorized=1,mrg_rxbuf=0"])
    func `A pair of virtio-user ports loops frames`(options: String) throws {
      try withLab { lab in
        try withHugepages(512) {
          for port in ["p0", "p1"] {
            try lab.ctl("add-port", "br0", port, "--", "set", "Interface", port, "type=vhost-user")
          }
          let testpmd = try start(lab, options)
          try eventually("a hundred thousand frames came back", within: 30) {
            guard testpmd.isRunning else {
              throw HarnessError("testpmd ended: \(readFile(lab.socket("testpmd.log")))")
            }
            return try lab.counter("p0", "rx_packets") > 100_000
          }
          testpmd.signal(SIGINT)
          try testpmd.wait(within: 20)

          // Whatever came in by one port left by the other, or was counted as dropped.
          try eventually("every frame is accounted for") {
            let (p0, p1) = (try lab.counter("p0", "rx_packets"), try lab.counter("p1", "tx_packets"))
            let dropped = try lab.counter("p1", "tx_dropped") + lab.counter("p0", "rx_dropped")
            return p1 <= p0 && p0 <= p1 + dropped
          }
        }
      }
    }

    @Test func `Ports go on after their front-end was killed and came back`() throws {
      try withLab { lab in
        try withHugepages(512) {
          for port in ["p0", "p1"] {
            try lab.ctl("add-port", "br0", port, "--", "set", "Interface", port, "type=vhost-user")
          }
          for _ in 0..<3 {
            let testpmd = try start(lab, "")
            let before = try lab.counter("p0", "rx_packets")
            try eventually("frames flow", within: 30) {
              try lab.counter("p0", "rx_packets") > before + 10_000
            }
            testpmd.kill()
            try eventually("the port saw it go") { try lab.interface("p0", "link_state") == "down" }
          }
        }
      }
    }

    private func start(_ lab: Lab, _ options: String) throws -> Program {
      let devices = (0...1).map {
        "--vdev=net_virtio_user\($0),path=\(lab.socket("p\($0)")),mac=02:00:00:00:01:0\($0)\(options)"
      }
      return try Program(
        [
          "dpdk-testpmd", "--lcores=0@0,1@0", "--no-pci", "--iova-mode=va", "--single-file-segments", "-m",
          "256",
          "--file-prefix", "test\(getpid())-\(Scratch.shared.number())",
        ] + devices + [
          "--", "--nb-cores=1", "--forward-mode=mac", "--auto-start", "--tx-first", "--stats-period=1",
          "--eth-peer=0,02:00:00:00:01:01", "--eth-peer=1,02:00:00:00:01:00",
        ], standardOutput: lab.socket("testpmd.log"))
    }

    /// Reserves 2 MiB pages while `body` runs.
    private func withHugepages(_ count: Int, _ body: () throws -> Void) throws {
      let setting = "/proc/sys/vm/nr_hugepages"
      let before = Int(readFile(setting).filter(\.isNumber)) ?? 0
      try must(["sh", "-c", "mountpoint -q /dev/hugepages || mount -t hugetlbfs hugetlbfs /dev/hugepages"])
      if before < count { try writeFile(setting, "\(count)") }
      defer { if before < count { try? writeFile(setting, "\(before)") } }
      try body()
    }
  }
}
