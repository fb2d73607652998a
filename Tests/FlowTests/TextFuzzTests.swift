import Seeded
import Testing

@testable import Flow

@Suite struct TextFuzzTests {
  /// Parts that mean something, so that mutations come near to what is valid.
  private static let pieces = [
    ",", "=", ":", "(", ")", "[", "]", "->", "/", " ", "\"", "\\", "..", "0x", "-1", "actions=", "learn(",
    "clone(",
    "write_actions(", "bucket=", "reg0", "NXM_NX_REG0[]", "vlan_vid", "tcp", "ipv6", "fe80::1", "::",
    "1.2.3.4",
    "340282366920938463463374607431768211456", "0xffffffffffffffffffffffffffffffff", "65536", "128", "+syn",
    "|",
    "resubmit(,", "note:", "set_field:", "load:", "move:", "in_port", "é", "\u{0}", "#", "bands=",
    "group_id=1",
  ]

  private static func mutated(_ line: String, _ random: inout SeededRandom) -> String {
    var bytes = Array(line.utf8)
    for _ in 0...Int.random(in: 0..<4, using: &random) {
      let index = Int.random(in: 0...bytes.count, using: &random)
      switch Int.random(in: 0..<5, using: &random) {
      case 0 where index < bytes.count: bytes[index] = UInt8.random(in: 0...255, using: &random)
      case 1:
        let end = min(bytes.count, index + Int.random(in: 0..<12, using: &random))
        bytes.removeSubrange(index..<end)
      case 2:
        let end = min(bytes.count, index + Int.random(in: 0..<40, using: &random))
        bytes.insert(contentsOf: bytes[index..<end], at: Int.random(in: 0...bytes.count, using: &random))
      default:
        bytes.insert(contentsOf: pieces.randomElement(using: &random).map { Array($0.utf8) } ?? [], at: index)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Reads `text` as everything there is; what is read is written, and reads back as itself.
  private func readAll(_ text: String) {
    let parser = FlowParser()
    let formatter = FlowFormatter()
    for command in [FlowModification.Command.add, .modify, .delete, .deleteStrict] {
      guard let flow = (try? parser.flow(text, for: command))?.flow, command == .add else { continue }
      let dumped = formatter.flow(flow)
      #expect((try? parser.flow(dumped, for: .add))?.flow == flow, "\(text.debugDescription): \(dumped)")
    }
    if let match = try? parser.match(text) {
      #expect((try? parser.match(formatter.match(match))) == match, "\(text.debugDescription)")
    }
    if let actions = try? parser.actions(text) {
      #expect((try? parser.actions(formatter.actions(actions))) == actions, "\(text.debugDescription)")
    }
    if let group = try? parser.group(text, requiresBuckets: false) {
      #expect(
        (try? parser.group(formatter.group(group), requiresBuckets: false)) == group,
        "\(text.debugDescription)")
    }
    if let meter = try? parser.meter(text, requiresBands: true) {
      #expect(
        (try? parser.meter(formatter.meter(meter), requiresBands: true)) == meter, "\(text.debugDescription)")
    }
    if let key = try? parser.key(text) { _ = formatter.key(key) + formatter.key(key, mask: .wholePacket) }
    _ = try? parser.modification(line: text)
    _ = try? parser.buckets(text, requiresBuckets: true)
    _ = try? parser.groupSelection(text)
    _ = try? parser.meterSelection(text)
  }

  @Test(arguments: [1, 2] as [UInt64])
  func `No text traps, and what is read is written as what it was`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var lines = try ["accepted", "refused", "unsupported"].flatMap(TextCorpusTests.corpus)
    lines += [
      "group_id=1,type=select,selection_method=hash,fields(ip_src,tcp_dst=0xff),bucket=weight:10,output:1,bucket=bucket_id:3,watch_port:2,actions=output:2",
      "group_id=1,command_bucket_id=last,bucket=output:2",
      "meter=1 kbps burst stats bands=type=drop rate=100 burst_size=10",
      "in_port=1,tcp,nw_src=1.2.3.4,tp_src=80,dl_vlan=5",
    ]
    for line in lines {
      readAll(line)
      for _ in 0..<4 { readAll(Self.mutated(line, &random)) }
    }
    for _ in 0..<300 {
      let count = Int.random(in: 0..<60, using: &random)
      readAll(
        String(decoding: (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }, as: UTF8.self))
    }
  }

  @Test func `Messages are short and show no control characters`() {
    let junk = "\u{1B}[2J" + String(repeating: "x", count: 5000)
    for text in [
      "\(junk)=1,actions=drop", "reg0=\(junk),actions=drop", "actions=\(junk)", "actions=learn(\(junk)=5)",
      "actions=load:\(junk)->reg0", "actions=set_field:1->\(junk)", "actions=controller(\(junk)=1)",
      "table=\(junk)",
      "actions=conjunction(\(junk))", "cookie=\(junk),actions=drop", "tun_\(junk)=5,actions=drop",
    ] {
      do {
        _ = try FlowParser().flow(text, for: .add)
        Issue.record("accepted: \(text)")
      } catch {
        #expect(error.description.utf8.count < 400)
        #expect(error.description.utf8.allSatisfy { $0 >= 0x20 })
      }
    }
  }

  @Test func `What is too long, too deep or too much is refused`() {
    let parser = FlowParser()
    let long = "actions=" + String(repeating: "x", count: FlowParser.maximumLength)
    #expect(throws: FlowError.self) { try parser.flow(long, for: .add) }
    #expect(throws: FlowError.self) { try parser.group(long, requiresBuckets: false) }
    #expect(throws: FlowError.self) { try parser.meter(long, requiresBands: false) }
    #expect(throws: FlowError.self) { try parser.key(long) }
    let deep = String(repeating: "clone(", count: 5000) + "output:1" + String(repeating: ")", count: 5000)
    #expect(throws: FlowError.self) { try parser.actions(deep) }
    #expect(throws: FlowError.self) { try parser.actions(String(repeating: "clone(", count: 10000)) }
    #expect(throws: FlowError.self) {
      try parser.actions(String(repeating: "1,", count: ActionParser.maximumCount + 1))
    }
    #expect(
      (try? parser.actions(String(repeating: "1,", count: ActionParser.maximumCount)))?.count
        == ActionParser.maximumCount)
    #expect(throws: FlowError.self) {
      try parser.group(
        "group_id=1,type=all" + String(repeating: ",bucket=1", count: 5000), requiresBuckets: true)
    }
    let bands = String(repeating: "type=drop rate=1 ", count: 100)
    #expect(throws: FlowError.self) { try parser.meter("meter=1 kbps bands=" + bands, requiresBands: true) }
  }
}
