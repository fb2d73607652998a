import Linux
import Seeded
import Synchronization
import Testing

@testable import Datapath

/// SECURITY: a guest that sends frames from ever new addresses, or from addresses of its choice.
@Suite("Row 25: MAC floods") struct MACFloodTests {
  private static func key(_ address: UInt64) -> UInt64 { MACTable.key(address, vlan: 0) }

  @Test func `Row 25: the table stays bounded, and other ports' entries survive a flood from one`() {
    let table = MACTable(capacity: 1000)
    for address in 0..<100 { table.learn(Self.key(UInt64(address)), port: UInt16(address % 10), now: 1) }
    for address in 1000..<101_000 {
      table.learn(Self.key(UInt64(address)), port: 77, now: 1)
      if address % 5000 == 0 { #expect(table.entries().count <= 1000) }
    }
    for address in 0..<100 { #expect(table.lookup(Self.key(UInt64(address))) == address % 10) }
    #expect(table.entries().count == 1000)
  }

  /// The same through the switch: frames, not calls.
  @Test(arguments: [1, 2])
  func `Row 25: frames to a known address go to its port alone, during and after a flood`(threads: Int) throws
  {
    var settings = BridgeSettings()
    settings.macTableSize = 64
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk, trunk], settings: settings, threads: threads)
    let (a, b): (UInt64, UInt64) = (0x0200_0000_000A, 0x0200_0000_000B)
    bench.send(frame(to: b, from: a), at: 0)
    bench.send(frame(to: a, from: b), at: 1)
    for index in 0..<3 { _ = bench.received(at: index) }
    for address in 0..<2000 {
      bench.send(frame(to: a, from: 0x0200_0001_0000 + UInt64(address)), at: 2)
      if address % 20 == 0 { bench.send(frame(to: b, from: a), at: 0) }
    }
    #expect(bench.received(at: 0).count == 2000)
    #expect(bench.received(at: 1).count == 100)
    #expect(bench.received(at: 2).isEmpty)
    #expect(bench.datapath.learnedAddresses(of: bench.bridge).count == 64)
  }

  @Test func `Row 25: whoever floods, each port ends with its share and takes nobody's below it`() {
    var random = SeededRandom(seed: 25)
    let table = MACTable(capacity: 1200)
    // Two quiet ports, and ten that flood at very different rates.
    for address in 0..<60 { table.learn(Self.key(UInt64(address)), port: UInt16(address % 2), now: 1) }
    for step in 0..<200_000 {
      let port = UInt16(
        2 + min(Int.random(in: 0..<10, using: &random), Int.random(in: 0..<10, using: &random)))
      table.learn(Self.key(UInt64(1 << 30 + step)), port: port, now: 1)
    }
    for address in 0..<60 { #expect(table.lookup(Self.key(UInt64(address))) == address % 2) }
    let held = Dictionary(grouping: table.entries(), by: \.port).mapValues(\.count)
    for port in 2..<12 { #expect(held[UInt16(port), default: 0] >= 100, "\(held)") }
    #expect(held.values.reduce(0, +) == 1200)
  }

  @Test func `Row 25: with more ports than entries nobody is shut out`() {
    let table = MACTable(capacity: 8)
    for port in 0..<200 {
      table.learn(Self.key(UInt64(port)), port: UInt16(port), now: 1)
      #expect(table.lookup(Self.key(UInt64(port))) == port)
    }
    #expect(table.entries().count == 8)
  }

  /// A newcomer's work is bounded however many ports have entries: a search for a donor that finds none in its bound
  /// lets the frame go unlearned, and the next one goes on.
  @Test func `Row 25: one rich port among thousands is found`() {
    let table = MACTable(capacity: 8000)
    for port in 0..<4000 { table.learn(Self.key(UInt64(port)), port: UInt16(port), now: 1) }
    for address in 0..<4000 { table.learn(Self.key(UInt64(1 << 20 + address)), port: 5000, now: 1) }
    var frames = 0
    while table.lookup(Self.key(1 << 30)) < 0 && frames < 1000 {
      table.learn(Self.key(1 << 30), port: 6000, now: 1)
      frames += 1
    }
    #expect(frames <= 4001 / 32 + 1)
    #expect(table.lookup(Self.key(1 << 30)) == 6000)
    for port in 0..<4000 { #expect(table.lookup(Self.key(UInt64(port))) == port) }
  }

  /// Addresses that collide under one secret are ordinary addresses under another: who does not know the secret
  /// cannot make probe runs long.
  @Test func `Row 25: addresses crafted to collide under one secret do not under another`() {
    let count = 512
    let known = MACTable.Secret(mask: 0x0123_4567_89AB_CDEF, factor: 0x9E37_79B9_7F4A_7C15)
    // The oracle: all of one home slot, as the hash with the known secret has it.
    let victim = MACTable(capacity: 4096, secret: known)
    let crafted = Self.colliding(count, in: victim)
    for key in crafted { victim.learn(key, port: 1, now: 1) }
    #expect(Self.probes(crafted, in: victim).max()! >= count)
    for secret in [
      MACTable.Secret(mask: 0xFEDC_BA98_7654_3210, factor: 0xD6E8_FEB8_6659_FD93), .random(), .random(),
    ] {
      let table = MACTable(capacity: 4096, secret: secret)
      for key in crafted { table.learn(key, port: 1, now: 1) }
      let probes = Self.probes(crafted, in: table)
      #expect(probes.max()! <= 32, "\(secret)")
      #expect(Double(probes.reduce(0, +)) / Double(count) < 2, "\(secret)")
    }
  }

  /// Addresses with a pattern, in a table as full as it gets.
  @Test(
    arguments: [
      "counting": { $0 }, "vendor bytes": { $0 << 24 }, "strides": { $0 * 0x1_0001 },
      "mirrored": { bits in
        (0..<11).reduce(0) { $0 | (bits >> UInt64($1) & 1) << UInt64(47 - $1) }
      },
    ] as [String: @Sendable (UInt64) -> UInt64])
  func `Row 25: addresses with a pattern are found in few probes`(
    name: String, pattern: @Sendable (UInt64) -> UInt64
  ) {
    // Not even one secret in thirty may be a weak one.
    for _ in 0..<30 {
      let table = MACTable(capacity: 2048)
      let keys = (0..<2048).map { Self.key(pattern($0) & 0xFFFF_FFFF_FFFF) }
      for key in keys { table.learn(key, port: 1, now: 1) }
      let probes = Self.probes(keys, in: table)
      #expect(probes.max()! <= 128)
      #expect(Double(probes.reduce(0, +)) / Double(keys.count) < 2.5)
    }
  }

  private static func probes(_ keys: [UInt64], in table: borrowing MACTable) -> [Int] {
    var probes: [Int] = []
    for key in keys { probes.append(table.probes(for: key)) }
    return probes
  }

  /// Keys that begin at one slot, found by asking the table where each begins: in an empty one, the first key learned
  /// is what every collision has to step over.
  private static func colliding(_ count: Int, in table: borrowing MACTable) -> [UInt64] {
    let first = key(1)
    var keys = [first]
    table.learn(first, port: 1, now: 1)
    var address: UInt64 = 2
    while keys.count < count {
      if table.probes(for: key(address)) > 1 { keys.append(key(address)) }
      address += 1
    }
    table.flushAll()
    return keys
  }
}

/// Two threads and the control thread on one table.
@Suite struct MACTableThreadTests {
  /// Each thread learns addresses of its own, looks up everybody's, and meanwhile entries are flushed, aged and listed:
  /// an address is found at its own port or not at all, and at the end the table equals a dictionary.
  @Test func equalsADictionaryUnderTwoThreads() throws {
    let table = SharedTable(capacity: 512)
    let done = Atomic<Int>(0)
    let wrong = Atomic<Int>(0)
    try withThreads(2) { thread in
      var random = SeededRandom(seed: UInt64(thread))
      for round in 0..<60_000 {
        let own = UInt64.random(in: 0..<400, using: &random) * 2 + UInt64(thread)
        table.learn(own, port: Self.port(of: own, UInt64(round & 1)), now: UInt32(round >> 8))
        let any = UInt64.random(in: 0..<800, using: &random)
        let found = table.lookup(any)
        if found >= 0 && found != Int(Self.port(of: any, 0)) && found != Int(Self.port(of: any, 1)) {
          wrong.add(1, ordering: .relaxed)
        }
      }
      done.add(1, ordering: .releasing)
    } during: {
      var round: UInt32 = 0
      while done.load(ordering: .acquiring) < 2 {
        table.flush(port: UInt16(truncatingIfNeeded: round % 64))
        table.expire(olderThan: 2, now: round >> 4)
        if round % 16 == 0 { table.flushAll() }
        if table.entries().count > 512 { wrong.add(1, ordering: .relaxed) }
        round += 1
      }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)

    // Quiet again: nothing was lost from the pool, and lookups agree with the entries.
    table.flushAll()
    #expect(table.entries().isEmpty)
    var model: [UInt64: Int] = [:]
    for address in 0..<512 as Range<UInt64> {
      table.learn(address, port: Self.port(of: address, 0), now: 1)
      model[address] = Int(Self.port(of: address, 0))
    }
    #expect(table.entries().count == 512)
    for (address, port) in model { #expect(table.lookup(address) == port) }
  }

  /// Where `address` may be: it moves between two ports.
  private static func port(of address: UInt64, _ side: UInt64) -> UInt16 { UInt16(address % 32 + side * 32) }

  private func withThreads(
    _ count: Int, _ body: @escaping @Sendable (Int) -> Void, during: () -> Void
  ) throws {
    var joins: [() -> Void] = []
    for index in 0..<count {
      var thread: Thread? = try Thread(name: "mac\(index)") { body(index) }
      joins.append { thread.take()?.join() }
    }
    during()
    for join in joins { join() }
  }

  /// A table several threads may hold.
  private final class SharedTable: @unchecked Sendable {
    private let table: MACTable
    init(capacity: Int) { table = MACTable(capacity: capacity) }
    func learn(_ address: UInt64, port: UInt16, now: UInt32) {
      table.learn(MACTable.key(address, vlan: 3), port: port, now: now)
    }
    func lookup(_ address: UInt64) -> Int { table.lookup(MACTable.key(address, vlan: 3)) }
    func flush(port: UInt16) { table.flush(port: port) }
    func flushAll() { table.flushAll() }
    func expire(olderThan seconds: UInt32, now: UInt32) { table.expire(olderThan: seconds, now: now) }
    func entries() -> [MACTable.Entry] { table.entries() }
  }
}
