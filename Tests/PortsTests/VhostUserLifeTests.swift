import CLinux
import Glibc
import Linux
import Packet
import Ports
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// Front-ends come, go, and come back; the guest never notices more than a pause.
@Suite struct VhostUserLifeTests {
  @Test func status() throws {
    let guest = try VhostUserGuest(ringSize: 128)
    let details = guest.port.status.details
    #expect(details["mode"] == "server")
    #expect(details["status"] == "connected")
    #expect(details["socket"] == "\(guest.directory.path)/guest")
    #expect(details["num_of_vrings"] == "2")
    #expect(details["vring_1_size"] == "128")
    #expect(details["features"] == "0x0000000150008883")
    #expect(guest.port.status.linkResets == 1)
  }

  /// Every order of stop and start; positions come from GET_VRING_BASE.
  @Test func stopAndStart() throws {
    let guest = try VhostUserGuest()
    guest.driver.post(64, sizes: [2048])
    for round in 0..<20 {
      #expect(guest.through(testFrame(60, seed: round))?.bytes == testFrame(60, seed: round))
      guest.harness.transmit([testFrame(61, seed: round)])
      #expect(guest.driver.receive()?.bytes == testFrame(61, seed: round))
      let bases = try guest.frontEnd.stop()
      #expect(bases == (UInt32(round + 1), UInt32(round + 1)))
      #expect(!guest.port.status.linkUp)
      #expect(guest.harness.waitDescriptor == nil)
      try guest.frontEnd.start(guest.driver.receiveQueue, index: 0, base: bases.0)
      try guest.frontEnd.start(guest.driver.transmitQueue, index: 1, base: bases.1)
      #expect(guest.harness.wait { guest.port.status.linkUp })
    }
  }

  /// The front-end dies and a new one comes with the rings as they are, knowing only an old position.
  @Test(arguments: [0, 1, 200])
  func restartWithStaleBase(_ base: UInt32) throws {
    let guest = try VhostUserGuest()
    guest.driver.post(64, sizes: [2048])
    for round in 0..<5 {
      _ = guest.through(testFrame(60, seed: round))
      guest.harness.transmit([testFrame(60, seed: round)])
      _ = guest.driver.receive()
    }
    // One frame is offered while nobody serves the ring.
    guest.frontEnd = try guest.connect()
    #expect(guest.harness.wait { guest.port.status.details["status"] == "connected" })
    #expect(guest.driver.send(testFrame(99)))
    guest.driver.transmitQueue.call.drain()
    try guest.frontEnd.negotiate(VhostUserGuest.modern)
    try guest.frontEnd.start(guest.driver, bases: (base, base))
    #expect(guest.harness.wait { guest.port.status.linkUp })
    // Interrupts may have been lost: there is one in any case.
    #expect(guest.driver.transmitQueue.call.drain() > 0)
    var frames: [[UInt8]] = []
    guest.harness.receive { bytes, _ in frames.append(bytes) }
    #expect(frames == [testFrame(99)])
    guest.harness.transmit([testFrame(77)])
    #expect(guest.driver.receive()?.bytes == testFrame(77))
  }

  /// The switch dies and comes back; QEMU, in the server role, sees a new connection.
  @Test func clientRole() throws {
    let directory = ScratchDirectory()
    let loop = try EventLoop()
    let path = "\(directory.path)/qemu"
    let driver = try GuestDriver(features: VhostUserGuest.modern)
    driver.post(64, sizes: [2048])
    for round in 0..<3 {
      let port = try VhostUserPort(
        PortConfiguration(
          name: "vm", kind: .vhostUserClient, options: ["vhost-server-path": path],
          runDirectory: directory.path), loop: loop)
      let harness = try PortHarness(port, loop)
      // The socket comes after the port, and goes with the front-end.
      for _ in 0..<2 {
        let listener = try UnixSocket.listen(path)
        // A process that another test is just starting may have a copy.
        defer { shutdown(listener.raw, Int32(SHUT_RDWR)) }
        var accepted = try UnixSocket.accept(listener.raw)
        while accepted == nil {
          harness.turn()
          accepted = try UnixSocket.accept(listener.raw)
        }
        let frontEnd = ScriptedFrontEnd(accepted.take()!) { loop.turn(atMostMilliseconds: 1) }
        try frontEnd.negotiate(VhostUserGuest.modern)
        try frontEnd.start(driver)
        #expect(harness.wait { port.status.linkUp })
        #expect(port.status.details["mode"] == "client")
        #expect(driver.send(testFrame(60, seed: round)))
        var frames: [[UInt8]] = []
        harness.receive { bytes, _ in frames.append(bytes) }
        #expect(frames == [testFrame(60, seed: round)])
        harness.transmit([testFrame(61, seed: round)])
        #expect(driver.receive()?.bytes == testFrame(61, seed: round))
      }
      #expect(harness.wait { port.status.details["status"] == "disconnected" })
    }
  }

  @Test func `Row 11: a second front-end is refused, and the first not disturbed`() throws {
    let guest = try VhostUserGuest()
    let second = try guest.connect()
    #expect(second.isClosedByPeer())
    #expect(guest.port.status.linkUp)
    #expect(guest.through(testFrame(60)) != nil)
  }

  /// A driver reset: rings stop, are zeroed, and start from 0.
  @Test func guestReboots() throws {
    let guest = try VhostUserGuest()
    for _ in 0..<3 { _ = guest.through(testFrame(60)) }
    _ = try guest.frontEnd.stop()
    guest.driver.receiveQueue.reset()
    guest.driver.transmitQueue.reset()
    try guest.frontEnd.start(guest.driver.receiveQueue, index: 0)
    try guest.frontEnd.start(guest.driver.transmitQueue, index: 1)
    #expect(guest.harness.wait { guest.port.status.linkUp })
    #expect(guest.through(testFrame(70))?.bytes == testFrame(70))
  }

  /// A new memory table while rings run: they go on where they were.
  @Test func memoryChangesWhileRunning() throws {
    let guest = try VhostUserGuest()
    guest.driver.post(8, sizes: [2048])
    for round in 0..<5 {
      try guest.frontEnd.setMemory(guest.driver.ram)
      #expect(try guest.frontEnd.command(.setOwner) == 0)
      #expect(guest.through(testFrame(60, seed: round))?.bytes == testFrame(60, seed: round))
      guest.harness.transmit([testFrame(61, seed: round)])
      #expect(guest.driver.receive()?.bytes == testFrame(61, seed: round))
    }
  }

  /// A disabled transmit ring is emptied, and nothing comes of it (vhost-user, "Ring states").
  @Test func disabledRing() throws {
    let guest = try VhostUserGuest()
    #expect(try guest.frontEnd.command(.setVringEnable, VringState(index: 1, number: 0).bytes) == 0)
    #expect(!guest.port.status.linkUp)
    #expect(guest.through(testFrame(60)) == nil)
    #expect(guest.driver.reclaim() == 1)
    #expect(guest.harness.counters[.receivedFrames] == 0)
    #expect(try guest.frontEnd.command(.setVringEnable, VringState(index: 1, number: 1).bytes) == 0)
    #expect(guest.through(testFrame(60)) != nil)
  }

  /// Without protocol features there is no SET_VRING_ENABLE: rings are enabled once started.
  @Test func withoutProtocolFeatures() throws {
    let guest = try VhostUserGuest(started: false)
    try guest.frontEnd.negotiate(VhostUserGuest.modern, [])
    try guest.frontEnd.setMemory(guest.driver.ram)
    try guest.frontEnd.start(guest.driver.receiveQueue, index: 0, enable: false)
    try guest.frontEnd.start(guest.driver.transmitQueue, index: 1, enable: false)
    #expect(guest.harness.wait { guest.port.status.linkUp })
    #expect(guest.through(testFrame(60)) != nil)
  }

  /// With the status feature nothing moves before DRIVER_OK, nor after a reset.
  @Test func deviceStatus() throws {
    let guest = try VhostUserGuest(started: false)
    try guest.frontEnd.negotiate(VhostUserGuest.modern, [.replyAcknowledgement, .status])
    try guest.frontEnd.start(guest.driver)
    #expect(try guest.frontEnd.command(.setStatus, littleEndian(11 as UInt64)) == 0)
    #expect(!guest.port.status.linkUp)
    #expect(try guest.frontEnd.command(.setStatus, littleEndian(15 as UInt64)) == 0)
    #expect(guest.port.status.linkUp)
    #expect(try guest.frontEnd.askNumber(.getStatus) == 15)
    #expect(guest.through(testFrame(60)) != nil)
    #expect(try guest.frontEnd.command(.setStatus, littleEndian(0 as UInt64)) == 0)
    #expect(!guest.port.status.linkUp)
  }

  @Test func frontEndSetsMTU() throws {
    let guest = try VhostUserGuest(protocolFeatures: [.replyAcknowledgement, .netMTU])
    #expect(try guest.frontEnd.command(.netSetMTU, littleEndian(9000 as UInt64)) == 0)
    #expect(guest.port.status.mtu == 9000)
    #expect(try guest.frontEnd.command(.netSetMTU, littleEndian(67 as UInt64)) == 1)
    #expect(try guest.frontEnd.command(.netSetMTU, littleEndian(1 << 40 as UInt64)) == 1)
    #expect(guest.port.status.linkUp)
  }

  // MARK: the socket

  private func start(_ configuration: PortConfiguration) throws -> PortHarness {
    let loop = try EventLoop()
    return try PortHarness(try VhostUserPort(configuration, loop: loop), loop)
  }

  @Test func `Row 12: what lies at the socket's path is refused with a sentence`() throws {
    let directory = ScratchDirectory()
    func sentence(_ configuration: PortConfiguration) -> String {
      do {
        _ = try start(configuration)
        return ""
      } catch { return "\(error)" }
    }
    let base = PortConfiguration(name: "vm", kind: .vhostUser, runDirectory: directory.path)
    var missing = base
    missing.runDirectory += "/missing"
    #expect(sentence(missing).contains("create its directory"))
    var long = base
    long.name = String(repeating: "n", count: 120)
    #expect(sentence(long).contains("107 bytes"))
    var slash = base
    slash.name = "../vm"
    #expect(sentence(slash).contains("no slash"))
    var mode = base
    mode.options["socket-mode"] = "888"
    #expect(sentence(mode).contains("octal"))
    var owner = base
    owner.options["socket-owner"] = "nobody-of-that-name"
    #expect(sentence(owner).contains("no such user"))
    var path = base
    path.kind = .vhostUserClient
    #expect(sentence(path).contains("vhost-server-path"))

    let first = try start(base)
    #expect(sentence(base).contains("another process listens"))
    first.port.close()
    let file = open("\(directory.path)/vm", O_CREAT | O_WRONLY, 0o600)
    close(file)
    #expect(sentence(base).contains("not a socket"))
    unlink("\(directory.path)/vm")
    symlink("/etc/passwd", "\(directory.path)/vm")
    #expect(sentence(base).contains("not a socket"))
  }

  @Test func `Row 12: a dead socket is replaced, has the mode asked for, and is removed`() throws {
    let directory = ScratchDirectory()
    let path = "\(directory.path)/vm"
    let dead = try UnixSocket.listen(path)
    shutdown(dead.raw, Int32(SHUT_RDWR))
    #expect(try directory.files() == ["vm"])
    let harness = try start(
      PortConfiguration(
        name: "vm", kind: .vhostUser, options: ["socket-mode": "0606"], runDirectory: directory.path))
    var status = stat()
    #expect(lstat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o606)
    harness.port.close()
    #expect(try directory.files() == [])
  }

  @Test(.enabled(if: getuid() == 0, "needs root"))
  func `Row 12: the socket has the owner and group asked for`() throws {
    let directory = ScratchDirectory()
    let harness = try start(
      PortConfiguration(
        name: "vm", kind: .vhostUser, options: ["socket-owner": "nobody", "socket-group": "12345"],
        runDirectory: directory.path))
    var status = stat()
    #expect(lstat("\(directory.path)/vm", &status) == 0)
    #expect(status.st_uid == 65_534)
    #expect(status.st_gid == 12_345)
    harness.port.close()
  }

  /// Alterations of the socket need a new port; others are applied.
  @Test func reconfigure() throws {
    let guest = try VhostUserGuest()
    var wanted = PortConfiguration(name: "guest", kind: .vhostUser, runDirectory: guest.directory.path)
    wanted.requestedMTU = 2000
    #expect(try guest.port.reconfigure(wanted))
    #expect(guest.port.status.linkUp)
    wanted.options["socket-mode"] = "0600"
    #expect(try !guest.port.reconfigure(wanted))
  }
}
