import Glibc
import Packet
import PacketTesting

/// Sends packets through the switch, and collects what is wrong with what arrives, cell by cell.
final class OffloadMatrix {
  /// A packet on its way to one sink.
  struct Cell {
    let name: String
    let sink: OffloadStation
    let request: Offload
    let packet: ReferencePacket
    /// Whether it may arrive in more parts than one.
    let mayBeCut: Bool
    fileprivate var reassembly: Reassembly
    fileprivate var faults: [String] = []

    fileprivate var isSettled: Bool { reassembly.isComplete || faults.count > 2 }
  }

  let lab: OffloadLab
  private let capture: Capture
  private var cells: [Cell] = []
  private(set) var failures: [String] = []
  /// Cells whose segments a device merged on their way into the switch.
  private(set) var mergedCells = 0
  /// Cells of which something was missing; each has cost the time it was waited for.
  private var incomplete = 0
  private var lastNumber = 1024

  var cellCount: Int { cells.count }

  init(_ lab: OffloadLab) throws {
    self.lab = lab
    capture = try Capture()
  }

  /// A source port that tells a packet from all others.
  func nextNumber() -> Int {
    lastNumber += 1
    return lastNumber
  }

  // MARK: Sending

  /// Every case from every source to every sink, one after the other.
  func run(_ tagging: Tagging, mtu: Int? = nil) throws {
    try lab.prepare(tagging)
    for source in lab.sources {
      for sink in lab.sinks {
        for example in OffloadCase.all(mtu: mtu ?? tagging.mtu) where example.isPossible(from: source) {
          try run(example, tagging, from: source, to: sink)
        }
      }
    }
    try findStrays()
  }

  func run(_ example: OffloadCase, _ tagging: Tagging, from source: OffloadStation, to sink: OffloadStation)
    throws
  {
    let packet = example.packet(
      from: source, to: sink.mac, tags: tagging.entering, number: nextNumber())
    let cell = makeCell(example, packet, tagging, from: source, to: sink)
    try source.send(packet, cell.request, size: example.segmentSize)
    try collect([cell])
  }

  /// One packet from `source` to an address that nobody has: to every other station.
  func flood(_ example: OffloadCase, from source: OffloadStation) throws {
    let packet = example.packet(
      from: source, to: [2, 0, 0, 0, 9, 9], tags: [], number: nextNumber())
    let cells = lab.stations.filter { $0 !== source }.map {
      makeCell(example, packet, .untagged, from: source, to: $0, "flood")
    }
    try source.send(packet, cells[0].request, size: example.segmentSize)
    try collect(cells)
  }

  /// Packets from one guest to all sinks in turn, which the switch finds in its ring all at once.
  func burst(_ examples: [OffloadCase], _ tagging: Tagging, from source: OffloadStation) throws {
    var burst: [Cell] = []
    for (index, example) in examples.enumerated() where example.isPossible(from: source) {
      let sink = lab.sinks[index % lab.sinks.count]
      let packet = example.packet(
        from: source, to: sink.mac, tags: tagging.entering, number: nextNumber())
      burst.append(makeCell(example, packet, tagging, from: source, to: sink, "burst"))
    }
    try source.sendTogether(burst.map { ($0.packet, $0.request) })
    try collect(burst)
  }

  private func makeCell(
    _ example: OffloadCase, _ packet: ReferencePacket, _ tagging: Tagging, from source: OffloadStation,
    to sink: OffloadStation, _ way: String = ""
  ) -> Cell {
    let request = example.offload(packet)
    var arriving = packet
    arriving.tags = tagging.leaving
    // Longer frames than devices segment themselves (gso_max_size) are cut by a kernel on its way.
    let isPassedOn =
      !source.kind.isWire && sink.kind.accepts.take(request, length: packet.bytes.count)
      && packet.bytes.count < 65_000
    return Cell(
      name: "\(way) \(tagging.name), \(source.port) to \(sink.port), \(example.name)", sink: sink,
      request: request, packet: packet, mayBeCut: !isPassedOn,
      reassembly: Reassembly(arriving, size: example.segmentSize, at: sink))
  }

  // MARK: Receiving

  /// Waits until everything of `waiting` has arrived.
  private func collect(_ waiting: [Cell]) throws {
    let first = cells.count
    cells += waiting
    let sinks = waiting.reduce(into: [OffloadStation]()) { sinks, cell in
      if !sinks.contains(where: { $0 === cell.sink }) { sinks.append(cell.sink) }
    }
    let deadline = now() + (incomplete < 10 ? 20 : 0.1)
    while !cells[first...].allSatisfy(\.isSettled) {
      var isIdle = true
      for sink in sinks {
        guard let arrival = try sink.receive() else { continue }
        isIdle = false
        take(arrival, at: sink, from: first)
      }
      guard isIdle else { continue }
      if now() > deadline {
        incomplete += 1
        break
      }
      usleep(20)
    }
    for index in first..<cells.count { try settle(index) }
  }

  private func take(_ arrival: Arrival, at sink: OffloadStation, from first: Int) {
    let port = Self.sourcePort(arrival.bytes)
    guard let index = cells[first...].firstIndex(where: { $0.sink === sink && $0.packet.sourcePort == port })
    else { return noteStray(arrival, at: sink) }
    capture.append(arrival, cell: index)
    if let fault = cells[index].reassembly.add(arrival) { cells[index].faults.append(fault) }
  }

  private func settle(_ index: Int) throws {
    let cell = cells[index]
    let parts = cell.reassembly.parts
    if !cell.isSettled {
      cells[index].faults.append(
        "\(cell.reassembly.offset) of \(cell.packet.payload.count) bytes arrived in \(parts) parts; "
          + "counters: \(try lab.counters(cell.sink.port))")
    }
    if cell.faults.isEmpty, parts > 1, !cell.mayBeCut {
      cells[index].faults.append("arrived in \(parts) parts where it could be passed on whole")
    }
    if cell.request.isGSO, cell.mayBeCut, parts < cell.reassembly.segmentCount { mergedCells += 1 }
    failures += cells[index].faults.map { "\(cell.name): \($0)" }
  }

  /// Whatever is left anywhere went where it should not.
  func findStrays() throws {
    for station in lab.stations {
      while let arrival = try station.receive() { noteStray(arrival, at: station) }
    }
  }

  private func noteStray(_ arrival: Arrival, at station: OffloadStation) {
    guard let port = Self.sourcePort(arrival.bytes), port != ReferencePacket.helloPort else { return }
    let origin = cells.last { $0.packet.sourcePort == port }?.name ?? "an unknown packet"
    failures.append("\(station.port) received \(arrival.bytes.count) bytes too many, of: \(origin)")
  }

  private static func sourcePort(_ bytes: [UInt8]) -> Int? {
    var network = 14
    while network + 28 <= bytes.count, [0x8100, 0x88A8].contains(number(bytes, network - 2)) { network += 4 }
    guard network + 24 <= bytes.count else { return nil }
    let transport = network + (bytes[network] >> 4 == 6 ? 40 : 20)
    return transport + 2 <= bytes.count ? number(bytes, transport) : nil
  }

  // MARK: A second opinion

  func checkWithTshark() throws {
    let findings = try capture.check()
    for (index, cell) in cells.enumerated() {
      let finding = findings[index] ?? Capture.Finding()
      for fault in Set(finding.faults) { failures.append("\(cell.name): tshark: \(fault)") }
      if cell.faults.isEmpty && finding.payload != cell.packet.payload.count {
        failures.append("\(cell.name): tshark: \(finding.payload) of \(cell.packet.payload.count) bytes")
      }
    }
  }
}
