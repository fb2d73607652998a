/// How a guest is made: its card, its memory, and what it has beside its shell.
struct GuestOptions {
  /// What backs the guest's memory, which it shares with the switch.
  enum Memory {
    case memfd
    /// A memfd of 2 MiB pages.
    case hugepages
    /// A file of its own name, which a test can read.
    case file(String)
  }

  var role = Guest.Role.connects
  /// More properties of the virtio-net device ("mrg_rxbuf=off").
  var device: [String] = []
  /// Queue pairs; more than one makes the card a multiqueue one.
  var queues = 1
  var packed = false
  /// The card is behind an emulated Intel IOMMU, which the guest uses: ring and buffer addresses are translated.
  var iommu = false
  /// More words of the kernel's command line.
  var kernel: [String] = []
  var memory = Memory.memfd
  var megabytes = 160
  /// Slots for memory to be plugged in later, up to 8 GiB in all; none makes the machine one without.
  var memorySlots = 0
  /// The processor; DPDK's programs want more than the plainest.
  var processor: String?
  /// Programs of this machine that the guest has too (see tools/guest-image).
  var programs: [String] = []
  /// QEMU does not boot, but waits to be sent a running guest.
  var isIncoming = false
  /// The guest stays stopped until QEMU is told `cont`.
  var isPaused = false
}

extension GuestOptions {
  /// QEMU's command line for a guest.
  ///
  /// - Parameters:
  ///   - name: the path that the guest's sockets and logs begin with.
  ///   - socket: that of the vhost-user port; nil gives the card QEMU's own network instead.
  func command(
    name: String, socket: String?, mac: String, kernel: String, initramfs: String, settings: [String]
  ) -> [String] {
    // maxcpus=2: for a machine that can only have one processor QEMU leaves the guest's memory barriers out, and then
    // driver and switch may each miss the other's last word, and both wait.
    ["qemu-system-x86_64", "-accel", "tcg", "-smp", "1,maxcpus=2"]
      + ["-nodefaults", "-no-user-config", "-display", "none"]
      + machine
      + [
        "-kernel", kernel, "-initrd", initramfs, "-append",
        (["console=ttyS0", "quiet", "panic=1", "no_timer_check"] + settings + self.kernel).joined(
          separator: " "),
        "-serial", "file:\(name).console",
        "-chardev", "socket,id=monitor,path=\(name).monitor,server=on,wait=off",
        "-mon", "chardev=monitor,mode=control",
        "-chardev", "socket,id=commands,path=\(name).commands,server=on,wait=off",
        "-device", "virtio-serial-pci,vectors=0", "-device", "virtserialport,chardev=commands",
      ] + network(socket) + ["-device", card(mac)]
      + (isIncoming ? ["-incoming", "defer"] : []) + (isPaused ? ["-S"] : [])
  }

  private var machine: [String] {
    let memory =
      switch self.memory {
      case .memfd: "memory-backend-memfd,id=mem0,size=\(megabytes)M,share=on"
      case .hugepages: "memory-backend-memfd,id=mem0,size=\(megabytes)M,share=on,hugetlb=on,hugetlbsize=2M"
      case .file(let path): "memory-backend-file,id=mem0,size=\(megabytes)M,share=on,mem-path=\(path)"
      }
    let size = memorySlots == 0 ? "\(megabytes)" : "\(megabytes)M,slots=\(memorySlots),maxmem=8G"
    return ["-m", size, "-object", memory, "-machine", "\(iommu ? "q35" : "pc"),memory-backend=mem0"]
      + (processor.map { ["-cpu", $0] } ?? [])
      + (iommu ? Self.iommuDevices : [])
  }

  /// Only behind a root port has a card ATS; and without that QEMU tells the switch of no mapping that ends.
  private static let iommuDevices = [
    "-device", "intel-iommu,intremap=off,device-iotlb=on", "-device",
    "pcie-root-port,id=port0,chassis=1,slot=1",
  ]

  private func network(_ socket: String?) -> [String] {
    guard let socket else { return ["-netdev", "user,id=net0,restrict=on"] }
    let end = role == .listens ? "server=on,wait=off" : "reconnect=1"
    return [
      "-chardev", "socket,id=char0,path=\(socket),\(end)",
      "-netdev", "vhost-user,id=net0,chardev=char0\(queues > 1 ? ",queues=\(queues)" : "")",
    ]
  }

  private func card(_ mac: String) -> String {
    // vectors=0: Debian 12's QEMU 7.2 dereferences NULL in its MSI-X code when a vhost-user device runs without KVM;
    // legacy interrupts avoid that code. romfile=: no network boot.
    var properties = ["virtio-net-pci", "netdev=net0", "mac=\(mac)", "vectors=0", "romfile="]
    if queues > 1 { properties.append("mq=on") }
    if packed { properties.append("packed=on") }
    if iommu { properties += ["bus=port0", "iommu_platform=on", "ats=on", "disable-legacy=on"] }
    return (properties + device).joined(separator: ",")
  }
}
