import Packet

/// The real switch, with a packet socket at the far end of each port.
final class LiveSwitch {
  private let lab: Lab
  private(set) var ports: [ComparedPort] = []
  private var ends: [UInt16: FarEnd] = [:]
  private var arrived: [UInt16: [[UInt8]]] = [:]
  /// Source addresses of the frames that count: hosts say things of their own.
  private let sources: [[UInt8]]

  init(_ lab: Lab, ports count: Int, sources: [[UInt8]]) throws {
    self.lab = lab
    self.sources = sources
    for index in 1...count {
      let host = try lab.addHost("veth\(index)")
      var number: UInt16?
      try eventually("veth\(index) has a number") {
        number = UInt16(try lab.interface("veth\(index)", "ofport"))
        return number != nil
      }
      ports.append(ComparedPort(number: number!, name: "veth\(index)"))
      ends[number!] = try FarEnd(host.device, in: host.namespace)
    }
  }

  func load(_ lines: FlowLines) throws {
    try lab.ctl("set-fail-mode", "br0", "secure")
    for group in lines.groups { try lab.ctl("add-group", "br0", group) }
    let file = Scratch.shared.path("flows-\(Scratch.shared.number())")
    try writeFile(file, lines.flows.joined(separator: "\n") + "\n")
    try lab.ctl("add-flows", "br0", file)
  }

  /// Sends `frame` and waits until as many have arrived as `expected`.
  func send(_ frame: [UInt8], at port: UInt16, expected: [UInt16: [[UInt8]]]) throws -> [UInt16: [[UInt8]]] {
    try ends[port]!.send(frame, .none)
    try? eventually("what is expected arrives", within: 5) {
      try take()
      return expected.allSatisfy { port, frames in arrived[port, default: []].count >= frames.count }
    }
    defer { arrived = [:] }
    return arrived
  }

  /// What comes before `frame`, sent at `port`, has come to all others.
  func flush(_ frame: [UInt8], at port: UInt16) throws -> [UInt16: [[UInt8]]] {
    try ends[port]!.send(frame, .none)
    try eventually("the last frame arrives") {
      try take()
      return ends.keys.allSatisfy { $0 == port || arrived[$0, default: []].contains(frame) }
    }
    defer { arrived = [:] }
    return arrived.mapValues { $0.filter { $0 != frame } }.filter { !$0.value.isEmpty }
  }

  private func take() throws {
    for (port, end) in ends {
      while let arrival = try end.receive() {
        guard sources.contains(Array(arrival.bytes[6..<12])) else { continue }
        arrived[port, default: []].append(arrival.bytes)
      }
    }
  }
}
