import Glibc
import Packet
import PacketTesting
import Testing

// Every kind of port sends to every kind of port, and each byte, checksum and header field that arrives is compared
// with what should: in the test itself, against packets built by the plainest means, and by tshark.
extension System {
  @Suite(.needs("ethtool", "tshark")) struct Offloads {
    @Test func `Whatever any port leaves to be done is done or passed on by any other`() throws {
      try withLab { lab in
        let matrix = try OffloadMatrix(OffloadLab(lab))
        try matrix.run("untagged", vlan: 0, access: [])
        try matrix.run("trunk to trunk", vlan: 5, priority: 3, access: [])
        try matrix.run("trunk to access", vlan: 5, priority: 3, access: matrix.lab.sinks)
        try matrix.run("access to trunk", vlan: 5, access: matrix.lab.sources)
        try matrix.checkWithTshark()
        for failure in matrix.failures { Issue.record("\(failure)") }
        #expect(matrix.cellCount > 4000)
        #expect(matrix.mergedCells > 0, "the kernel has merged no segments")
      }
    }
  }
}

/// Runs cells of the matrix and collects what is wrong with each.
final class OffloadMatrix {
  let lab: OffloadLab
  private let capture: Capture
  /// Names and payload lengths of the cells; a cell's number is its packet's source port.
  private var cells: [(name: String, payload: Int, isSound: Bool)] = []
  private(set) var failures: [String] = []
  /// Cells of which something was missing; each has cost the time it was waited for.
  private var incomplete = 0
  /// Cells whose segments a device merged on their way into the switch.
  private(set) var mergedCells = 0
  private static let firstNumber = 1024

  var cellCount: Int { cells.count }

  init(_ lab: OffloadLab) throws {
    self.lab = lab
    capture = try Capture()
  }

  /// Every case from every source to every sink, in one VLAN.
  /// - Parameters:
  ///   - vlan: 0 for none.
  ///   - access: ports where its frames have no tag.
  func run(_ name: String, vlan: Int, priority: Int = 0, access: [OffloadStation]) throws {
    func tags(_ station: OffloadStation) -> Bool { vlan != 0 && !access.contains { $0 === station } }
    try lab.setAccess(access, vlan: vlan)
    try lab.learn(vlan: vlan, tag: tags)
    for source in lab.sources {
      for sink in lab.sinks {
        for example in OffloadCase.all() where example.isPossible(from: source) {
          let number = Self.firstNumber + cells.count
          var packet = example.packet(from: source, to: sink, number: number)
          if tags(source) { packet.tags = [.tag(vlan, priority: priority)] }
          var arriving = packet
          arriving.tags = tags(sink) ? [.tag(vlan, priority: tags(source) ? priority : 0)] : []
          let cell = "\(name), \(source.kind) to \(sink.kind), \(example.name)"
          try run(cell, example, packet, arriving, source, sink)
        }
      }
    }
    try findStrays()
  }

  private func run(
    _ name: String, _ example: OffloadCase, _ packet: ReferencePacket, _ arriving: ReferencePacket,
    _ source: OffloadStation, _ sink: OffloadStation
  ) throws {
    let request = example.offload(packet)
    let number = packet.sourcePort
    var reassembly = Reassembly(arriving, size: example.segmentSize, at: sink)
    var faults: [String] = []
    try source.send(packet, request, size: example.segmentSize)
    let deadline = now() + (incomplete < 10 ? 2 : 0.1)
    while !reassembly.isComplete, faults.count < 3 {
      guard let arrival = try sink.receive() else {
        if now() > deadline {
          incomplete += 1
          faults.append(
            "\(reassembly.offset) of \(packet.payload.count) bytes arrived in \(reassembly.parts) parts; "
              + "source: \(try lab.counters(source.port)), sink: \(try lab.counters(sink.port))")
          break
        }
        usleep(20)
        continue
      }
      guard isNumber(number, arrival) else {
        noteStray(arrival, at: sink)
        continue
      }
      capture.append(arrival, cell: cells.count)
      if let fault = reassembly.add(arrival) { faults.append(fault) }
    }
    if source.kind.isWire && reassembly.parts < example.segmentCount { mergedCells += 1 }
    // Longer frames than devices segment themselves (gso_max_size) are cut by a kernel on its way.
    let isWhole = !source.kind.isWire && sink.kind.accepts.take(request, length: packet.bytes.count)
    if faults.isEmpty, isWhole, packet.bytes.count < 65_000, reassembly.parts > 1 {
      faults.append("arrived in \(reassembly.parts) parts where it could be passed on whole")
    }
    failures += faults.map { "\(name): \($0)" }
    cells.append((name, packet.payload.count, faults.isEmpty))
  }

  /// Whether a frame has source port `number`, behind one tag at most.
  private func isNumber(_ number: Int, _ arrival: Arrival) -> Bool { sourcePort(arrival.bytes) == number }

  private func sourcePort(_ bytes: [UInt8]) -> Int? {
    guard bytes.count >= 42 else { return nil }
    let network = number(bytes, 12) == 0x8100 ? 18 : 14
    let transport = network + (bytes[network] >> 4 == 6 ? 40 : 20)
    return transport + 2 <= bytes.count ? number(bytes, transport) : nil
  }

  private func noteStray(_ arrival: Arrival, at station: OffloadStation) {
    guard let port = sourcePort(arrival.bytes), port != ReferencePacket.helloPort else { return }
    let index = port - Self.firstNumber
    let cell = cells.indices.contains(index) ? cells[index].name : "the present cell"
    failures.append("\(station.port) received \(arrival.bytes.count) bytes too many, of: \(cell)")
  }

  /// Whatever is left anywhere went where it should not.
  private func findStrays() throws {
    for station in lab.stations {
      while let arrival = try station.receive() { noteStray(arrival, at: station) }
    }
  }

  func checkWithTshark() throws {
    let findings = try capture.check()
    for (index, cell) in cells.enumerated() {
      let finding = findings[index] ?? Capture.Finding()
      for fault in Set(finding.faults) { failures.append("\(cell.name): tshark: \(fault)") }
      if cell.isSound && finding.payload != cell.payload {
        failures.append("\(cell.name): tshark: \(finding.payload) of \(cell.payload) bytes")
      }
    }
  }
}
