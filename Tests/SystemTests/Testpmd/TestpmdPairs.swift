import Glibc
import VirtioTesting

/// Pairs of testpmd's ports on a bridge, each pair in a VLAN of its own, so that every frame's way is known: what one
/// port sends arrives at the other.
///
/// A third port, played by the test, joins the VLAN of a pair that only receives.
final class TestpmdPairs {
  /// The front-end's name in the matrix.
  static let frontEnd = "dpdk-testpmd 22.11"

  private(set) var testpmd: Testpmd
  private let lab: Lab
  private let rows: [TestpmdRow]
  /// How many of the rows testpmd has its ports for.
  private var launched: Int
  private var source: StreamingGuest?
  /// Frames the third port sent to each pair.
  private var broadcasts: [Int]
  /// What both sides had counted when they were last known to have counted the same.
  private var marks: [(testpmd: Testpmd.Statistics, switchd: [String: Int])]
  private static let enough = 1000

  /// Adds the ports, and starts testpmd with a pair for each row.
  init(_ lab: Lab, _ rows: [TestpmdRow]) throws {
    self.lab = lab
    self.rows = rows
    broadcasts = rows.map { _ in 0 }
    for port in 0..<2 * rows.count {
      try lab.addVhostPort("p\(port)", role: rows[port / 2].device.role, columns: ["tag=\(port / 2 + 1)"])
    }
    launched = rows.count
    marks = (0..<2 * rows.count).map { _ in (.init(), [:]) }
    testpmd = try Self.launch(lab, rows)
    try awaitReady()
  }

  private static func launch(_ lab: Lab, _ rows: [TestpmdRow]) throws -> Testpmd {
    // DPDK does not replace the socket of one that was killed.
    for port in 0..<2 * rows.count where rows[port / 2].device.role == .listens {
      unlink(lab.socket("p\(port)"))
    }
    return try Testpmd((0..<2 * rows.count).map { (rows[$0 / 2].device, lab.socket("p\($0)")) })
  }

  /// Starts another testpmd, with ports for the first `count` rows, or all; the one before is dead.
  func relaunch(_ count: Int? = nil) throws {
    launched = count ?? rows.count
    testpmd = try Self.launch(lab, Array(rows.prefix(launched)))
  }

  /// Waits until testpmd has set up its ports, and the switch has them up.
  func awaitReady() throws {
    try testpmd.waitUntilReady()
    for row in 0..<launched { try awaitLinks(row) }
  }

  func awaitLinks(_ row: Int) throws {
    for port in [2 * row, 2 * row + 1] {
      try eventually("port p\(port) is up") { try lab.interface("p\(port)", "link_state") == "up" }
    }
  }

  /// Takes it that testpmd is new, or nothing is under way: from now on both sides have to count the same.
  func mark() throws {
    let statistics = try testpmd.statistics()
    for port in 0..<2 * launched {
      marks[port] = (statistics[port] ?? .init(), try lab.counters("p\(port)"))
      broadcasts[port / 2] = 0
    }
  }

  /// Lets the pair of `row` run in `mode` until a good number of frames has moved, takes what is still under way, and
  /// compares the counters of both sides.
  func run(_ row: Int, _ mode: Testpmd.Mode) throws {
    let ports = [2 * row, 2 * row + 1]
    let before = try testpmd.statistics()
    func moved() throws -> Int {
      let now = try testpmd.statistics()
      return ports.map { port in
        let difference = now[port, default: .init()] - before[port, default: .init()]
        return mode.receives ? difference.received : difference.sent
      }.min() ?? 0
    }
    try testpmd.start(mode, ports: ports)
    if mode == .rxonly { try broadcast(to: row) }
    var last = 0
    try eventually("\(Self.enough) frames moved in mode \(mode); \(last) did") {
      let count = try moved()
      // A short ring of a driver that is not given the processor takes few of very many at once.
      if count == last, mode == .rxonly { try broadcast(to: row) }
      if count == last, mode.circulates {
        // None is left: a driver whose ring is full drops frames, and a short ring is soon full. Others begin.
        try testpmd.stop()
        try testpmd.start(mode, ports: ports)
      }
      last = count
      return count >= Self.enough
    }
    try testpmd.stop()
    try testpmd.start(.rxonly, ports: ports)
    var difference = ""
    do {
      try eventually("testpmd and the switch agree") {
        difference = try disagreement(row)
        return difference.isEmpty
      }
    } catch { throw HarnessError("\(error): \(difference)") }
    try testpmd.stop()
  }

  /// Waits until frames flow by both ports of `rows`, in mode flowgen, which needs none to come back; then takes what
  /// is under way.
  func resume(_ rows: Range<Int>) throws {
    let ports = rows.flatMap { [2 * $0, 2 * $0 + 1] }
    let before = try testpmd.statistics()
    try testpmd.start(.flowgen, ports: ports)
    try eventually("frames flow by all of \(ports)") {
      let now = try testpmd.statistics()
      return ports.allSatisfy { now[$0, default: .init()].received > before[$0, default: .init()].received }
    }
    try testpmd.stop()
    try testpmd.start(.rxonly, ports: ports)
    var last = try testpmd.statistics()
    try eventually("nothing is under way") {
      usleep(50_000)
      defer { last = (try? testpmd.statistics()) ?? last }
      return try testpmd.statistics() == last
    }
    try testpmd.stop()
  }

  /// Frames to everybody from the third port.
  private func broadcast(to row: Int) throws {
    if source == nil {
      try lab.addVhostPort("source")
      source = try StreamingGuest(connecting: lab.socket("source"), ringSize: 256)
    }
    guard let source else { return }
    try lab.ctl("set", "Port", "source", "tag=\(row + 1)")
    let count = 4 * Self.enough
    var sent = 0
    try eventually("the switch takes \(count) frames", pause: 200) {
      if sent < count, source.waiting == 0 {
        sent += source.send(32) { frame in
          frame.initializeMemory(as: UInt8.self, repeating: 0xFF, count: 60)
          // From an address of this port's own.
          frame.storeBytes(of: 0x0003_0000_0002, toByteOffset: 6, as: UInt64.self)
          return 60
        }
      }
      return sent >= count && source.waiting == 0
    }
    broadcasts[row] += sent
    // To a VLAN nobody else is in.
    try lab.ctl("set", "Port", "source", "tag=4000")
  }

  /// What does not add up at the pair of `row` since the mark, or nothing.
  private func disagreement(_ row: Int) throws -> String {
    let ports = [2 * row, 2 * row + 1]
    let statistics = try testpmd.statistics()
    let switchd = try ports.map { port in
      try lab.counters("p\(port)").merging(marks[port].switchd) { $0 - $1 }
    }
    var complaints: [String] = []
    func compare(_ left: Int?, _ right: Int?, _ what: String) {
      guard left != right || left == nil else { return }
      complaints.append("\(what): \(left ?? -1), not \(right ?? -1)")
    }
    for (index, port) in ports.enumerated() {
      let (near, far) = (switchd[index], switchd[1 - index])
      let testpmd = statistics[port, default: .init()] - marks[port].testpmd
      let received = near["rx_packets", default: 0] + near["rx_dropped", default: 0]
      compare(received, testpmd.sent, "p\(port) received, or dropped, what testpmd sent")
      compare(near["tx_packets"], testpmd.received, "p\(port) delivered what testpmd received")
      compare(testpmd.sendErrors, 0, "testpmd could not send by p\(port)")
      compare(testpmd.receiveErrors, 0, "testpmd could not receive by p\(port)")
      let reasons = near.filter { $0.key.hasPrefix("rx_drop_") && $0.value != 0 }
      compare(
        near["rx_dropped"], near["rx_drop_ring_disabled"], "p\(port) dropped what it received \(reasons)")
      compare(near["tx_dropped"], near["tx_drop_receiver_full"], "p\(port) dropped for another reason")
      let toDeliver = far["rx_packets", default: 0] + broadcasts[row]
      let done = near["tx_packets", default: 0] + near["tx_dropped", default: 0]
      compare(done, toDeliver, "p\(port) delivered or dropped what was for it")
    }
    return complaints.joined(separator: "; ")
  }

  /// Checks that the ports of `row` came to the agreement the row asks for, and use the driver's code it is about.
  func checkNegotiation(_ row: Int) throws {
    let device = rows[row].device
    for port in [2 * row, 2 * row + 1] {
      let features = try lab.features("p\(port)")
      for (feature, wanted) in [
        (34, device.isPacked), (35, device.isInOrder), (15, device.isMergeable), (22, device.queues > 1),
      ] where (features >> UInt64(feature) & 1 == 1) != wanted {
        throw HarnessError("p\(port): feature \(feature) is \(wanted ? "missing" : "there")")
      }
      let code =
        device.isPacked
        ? "packed ring vectorized Rx path on port \(port)" : "vectorized Rx path on port \(port)"
      guard !device.isVectorized || testpmd.log.contains("virtio: using \(code)") else {
        throw HarnessError("testpmd does not use vector code on port \(port)")
      }
    }
  }
}
