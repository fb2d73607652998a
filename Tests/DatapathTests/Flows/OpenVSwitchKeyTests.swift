import Flow
import FlowTesting
import Glibc
import Seeded
import Testing

@testable import Datapath

/// The same frames, read by us and by Open vSwitch.
@Suite(.enabled(if: OpenVSwitch.isInstalled, "needs ovs-ofctl; run tools/setup test"))
struct OpenVSwitchKeyTests {
  @Test(arguments: [false, true])
  func `Open vSwitch finds the same fields in the same frames`(areDamaged: Bool) throws {
    var g = SeededRandom(seed: areDamaged ? 32 : 31)
    var frames: [[UInt8]] = []
    while frames.count < 1500 {
      let whole = RandomFrame.make(&g)
      let frame = areDamaged ? RandomFrame.mutated(whole, &g) : whole
      // Open vSwitch looks as deep as there are headers.
      if frame.count >= 14, !ReferenceParser(frame).isCut { frames.append(frame) }
    }
    let lines = OpenVSwitch.parse(frames)
    try #require(lines.count == frames.count)
    for (frame, line) in zip(frames, lines) {
      var ours = FlowFrame.key(of: frame, inPort: PortNumber(0))
      // What is printed of a tag says nothing about its TPID.
      ours[FlowWord.tags] &= 0x0000_FFFF_0000_FFFF
      let theirs = OpenVSwitch.words(line)
      #expect(ours == theirs, "\(line): \(frame)")
    }
  }
}

/// `ovs-ofctl parse-pcap`, which prints the flow of each frame.
enum OpenVSwitch {
  static let isInstalled = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].contains {
    access($0 + "/ovs-ofctl", X_OK) == 0
  }

  static func parse(_ frames: [[UInt8]]) -> [String] {
    func word(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
    var capture = word(0xA1B2_C3D4) + [2, 0, 4, 0] + word(0) + word(0) + word(0x40000) + word(1)
    for frame in frames { capture += word(0) + word(0) + word(frame.count) + word(frame.count) + frame }
    var path = Array("/tmp/switchd-frames-XXXXXX".utf8CString)
    let file = fdopen(mkstemp(&path), "w")
    fwrite(capture, 1, capture.count, file)
    fclose(file)
    let name = path.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    defer { unlink(name) }
    guard let pipe = popen("ovs-ofctl parse-pcap \(name)", "r") else { return [] }
    defer { pclose(pipe) }
    var lines: [String] = []
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, 4096, pipe) != nil {
      lines.append(line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }.filter { $0 != "\n" })
    }
    return lines
  }

  private static let protocols: [Substring: (UInt128, UInt128)] = [
    "ip": (0x0800, 0), "icmp": (0x0800, 1), "tcp": (0x0800, 6), "udp": (0x0800, 17), "sctp": (0x0800, 132),
    "ipv6": (0x86DD, 0), "icmp6": (0x86DD, 58), "tcp6": (0x86DD, 6), "udp6": (0x86DD, 17),
    "sctp6": (0x86DD, 132), "arp": (0x0806, 0), "rarp": (0x8035, 0), "mpls": (0x8847, 0),
    "mplsm": (0x8848, 0),
  ]

  /// Fields by the names of `ovs-fields(7)`, where the name says all.
  private static let named: [Substring: Field] = [
    "dl_src": .ethernetSource, "dl_dst": .ethernetDestination, "dl_type": .ethernetType,
    "nw_src": .ipv4Source, "nw_dst": .ipv4Destination, "nw_proto": .ipProtocol, "nw_ttl": .ipTTL,
    "ipv6_src": .ipv6Source, "ipv6_dst": .ipv6Destination, "ipv6_label": .ipv6Label, "tp_src": .tcpSource,
    "tp_dst": .tcpDestination, "icmp_type": .icmpType, "icmp_code": .icmpCode, "nd_target": .ndTarget,
    "nd_sll": .ndSourceMAC, "nd_tll": .ndTargetMAC, "arp_op": .arpOperation, "arp_spa": .arpSenderIP,
    "arp_tpa": .arpTargetIP, "arp_sha": .arpSenderMAC, "arp_tha": .arpTargetMAC,
  ]

  /// What a line says, as a key without TPIDs.
  static func words(_ line: String) -> FlowWords {
    var words = FlowWords()
    for part in line.split(separator: ",") {
      let pair = part.split(separator: "=")
      guard pair.count == 2 else {
        let (type, number) = protocols[pair[0], default: (0xFFFF, 0)]
        words[.ethernetType] = type
        words[.ipProtocol] = number
        continue
      }
      if let field = named[pair[0]] {
        words[field] = value(pair[1])
      } else {
        add(pair[0], pair[1], to: &words)
      }
    }
    // Types of IGMP, and of the other version's ICMP, which no flow can ask for.
    let number = words[.ipProtocol]
    let isIPv6 = words[.ethernetType] == 0x86DD
    if isIPv6 ? number == 1 || number == 2 : number == 2 || number == 58 {
      words[.tcpSource] = 0
      words[.tcpDestination] = 0
    }
    return words
  }

  private static func add(_ name: Substring, _ text: Substring, to words: inout FlowWords) {
    let number = UInt64(text) ?? 0
    switch name {
    case "dl_vlan": words[FlowWord.tags] |= (number | 0x1000) << 32
    case "dl_vlan_pcp": words[FlowWord.tags] |= number << 45
    case "dl_vlan1": words[FlowWord.tags] |= number | 0x1000
    case "dl_vlan_pcp1": words[FlowWord.tags] |= number << 13
    case "nw_tos", "nw_ecn": words[FlowWord.transport] |= number << 24
    case "nw_frag": words[.ipFragment] = ["first": 1, "later": 3][text, default: 0]
    case "tcp_flags":
      let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"]
      for flag in text.split(separator: "|") {
        let bits = UInt128(flag.filter { $0 != "[" && $0 != "]" }, radix: 16)
        words[.tcpFlags] |= names.firstIndex(of: String(flag)).map { 1 << UInt128($0) } ?? bits ?? 0
      }
    default: break
    }
  }

  /// A number, an Ethernet, IPv4 or IPv6 address.
  private static func value(_ text: Substring) -> UInt128 {
    if text.hasPrefix("0x") { return UInt128(text.dropFirst(2), radix: 16) ?? 0 }
    if let number = UInt128(text) { return number }
    let pairs = text.split(separator: ":")
    if pairs.count == 6, text.utf8.count == 17 {
      return pairs.reduce(0) { $0 << 8 | UInt128($1, radix: 16)! }
    }
    if text.contains(".") && !text.contains(":") {
      return text.split(separator: ".").reduce(0) { $0 << 8 | UInt128($1)! }
    }
    var bytes = [UInt8](repeating: 0, count: 16)
    inet_pton(AF_INET6, String(text), &bytes)
    return bytes.reduce(0) { $0 << 8 | UInt128($1) }
  }
}
