/// A program in words: `set(nw_dst=10.0.0.9,nw_ttl=63),push_vlan(vid=5,pcp=0),output:2`.
///
/// Every output has its own form of the frame, made from the frame as it was received. Where there are several outputs,
/// braces hold together what belongs to one.
struct ProgramText {
  let formatter: FlowFormatter
  let translation: Translation
  let key: FlowWords

  var text: String {
    let operations = translation.operations
    if operations.isEmpty { return "drop" }
    return operations.map { operation in
      let (name, rewrite) = describe(operation)
      let changes = rewrite.map { describe(translation.rewrites[$0]) } ?? []
      let text = (changes + [name]).joined(separator: ",")
      return operations.count > 1 && !changes.isEmpty ? "{\(text)}" : text
    }.joined(separator: ",")
  }

  private func describe(_ operation: FlowOperation) -> (String, rewrite: Int?) {
    switch operation {
    case .output(let port, let rewrite): ("output:\(formatter.port(port))", rewrite)
    case .flood(let port, let rewrite):
      (port.map { "every port but \(formatter.port($0))" } ?? "every port", rewrite)
    case .normal(_, let rewrite): ("NORMAL", rewrite)
    case .meter(let meter): ("meter:\(meter.description.id)", nil)
    case .controller(let output, let rewrite): (formatter.action(.controller(output)), rewrite)
    }
  }

  private func describe(_ rewrite: Rewrite) -> [String] {
    var parts: [String] = []
    let fields = Self.fields(of: key).compactMap { field, name in
      rewrite.mask[field] == 0 ? nil : name + "=" + value(of: field, in: rewrite)
    }
    if !fields.isEmpty { parts.append("set(" + fields.joined(separator: ",") + ")") }
    parts += [String](repeating: "pop_vlan", count: rewrite.poppedTags)
    for tag in rewrite.pushedTags {
      let type = tag >> 16 == 0x8100 ? "" : "tpid=0x" + String(tag >> 16, radix: 16) + ","
      parts.append("push_vlan(\(type)vid=\(tag & 0xFFF),pcp=\(tag >> 13 & 7))")
    }
    return parts
  }

  /// With the bits that stay, where all frames of the entry have them alike.
  private func value(of field: Field, in rewrite: Rewrite) -> String {
    let written = rewrite.mask[field]
    let value = rewrite.value[field] & written
    guard ~written & field.storedMaximum & ~translation.mask[field] == 0 else {
      return field.text(value, mask: written, ports: nil)
    }
    return field.text(value | key[field] & ~written, ports: nil)
  }

  /// The fields a frame of this kind has that can be written, by the names that matches have.
  private static func fields(of key: FlowWords) -> [(Field, String)] {
    let link: [(Field, String)] = [
      (.ethernetSource, "dl_src"), (.ethernetDestination, "dl_dst"), (.vlanTCI, "vlan_tci"),
    ]
    let type = key[.ethernetType]
    var network: [(Field, String)] = []
    switch type {
    case Match.ipv4Type: network = [(.ipv4Source, "nw_src"), (.ipv4Destination, "nw_dst")]
    case Match.ipv6Type:
      network = [(.ipv6Source, "ipv6_src"), (.ipv6Destination, "ipv6_dst"), (.ipv6Label, "ipv6_label")]
    case Match.arpType:
      return link + [
        (.arpOperation, "arp_op"), (.arpSenderIP, "arp_spa"), (.arpTargetIP, "arp_tpa"),
        (.arpSenderMAC, "arp_sha"), (.arpTargetMAC, "arp_tha"),
      ]
    default: return link
    }
    network += [(.ipDSCP, "ip_dscp"), (.ipECN, "nw_ecn"), (.ipTTL, "nw_ttl")]
    switch key[.ipProtocol] {
    case 1 where type == Match.ipv4Type: network += [(.icmpType, "icmp_type"), (.icmpCode, "icmp_code")]
    case 58 where type == Match.ipv6Type:
      network += [
        (.icmpv6Type, "icmp_type"), (.icmpv6Code, "icmp_code"), (.ndTarget, "nd_target"),
        (.ndSourceMAC, "nd_sll"), (.ndTargetMAC, "nd_tll"),
      ]
    default: network += [(.tcpSource, "tp_src"), (.tcpDestination, "tp_dst")]
    }
    return link + network
  }
}
