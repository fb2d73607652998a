// The traffic of tools/soak: guests on vhost-user ports, all in this process, sending as fast as they can.
//
//     switchd-soak DIRECTORY
//
// connects to the sockets DIRECTORY/pair0, pair1, trunk0, … (see Flow), sends until it gets SIGTERM or SIGINT, lets the
// switch take what is still in the rings, and prints a line for each port: its name, the frames the switch took, the
// frames it delivered, and how many outputs each of its frames had. It exits with 1 if a frame arrived where it should
// not.
//
//     switchd-soak --rate=SECONDS [--iommu=region|pages] SOCKET SOCKET
//
// sends 60-byte frames both ways between two ports for so long, and prints how many arrived in a second. The guests'
// memory is mapped for good: as it is, or each buffer by itself.

import Glibc
import Linux
import Synchronization
import VirtioTesting

private let ended = Atomic<Bool>(false)

/// Writes a line at once, also into a file.
private func say(_ text: String, to descriptor: Int32 = 1) {
  let line = text + "\n"
  _ = write(descriptor, line, line.utf8.count)
}

private struct Station {
  let name: String
  let flow: Flow
  let guest: StreamingGuest
  var maker: FrameMaker
  var strays = 0

  init(_ name: String, _ flow: Flow, directory: String, seed: UInt64) throws {
    self.name = name
    self.flow = flow
    guest = try StreamingGuest(connecting: "\(directory)/\(name)", ringSize: 512)
    maker = FrameMaker(flow, seed: seed)
  }

  mutating func send(_ count: Int) { guest.send(count) { maker.write(to: $0) } }

  mutating func receive() -> Int { guest.receive { if !belongs($0, to: flow) { strays += 1 } } }
}

@main
struct Soak {
  static func main() {
    do {
      if let rate = try Rate(CommandLine.arguments.dropFirst()) { return say("\(try rate.measure())") }
    } catch {
      say("switchd-soak: \(error)", to: 2)
      exit(1)
    }
    guard CommandLine.arguments.count == 2 else {
      say("usage: switchd-soak DIRECTORY | --rate=SECONDS [--iommu=region|pages] SOCKET SOCKET", to: 2)
      exit(2)
    }
    for number in [SIGTERM, SIGINT] { signal(number) { _ in ended.store(true, ordering: .relaxed) } }
    do { try run(CommandLine.arguments[1]) } catch {
      say("switchd-soak: \(error)", to: 2)
      exit(1)
    }
  }

  private static func run(_ directory: String) throws {
    var stations = try Flow.ports.enumerated().map { index, port in
      try Station(port.name, port.flow, directory: directory, seed: UInt64(index))
    }
    say("sending")
    var burst = 1
    while !ended.load(ordering: .relaxed) {
      for index in stations.indices {
        _ = stations[index].receive()
        // From single frames to bursts, not the same for any two ports.
        burst = burst &* 5 &+ 1
        stations[index].send(1 + (burst >> 8 & 63))
      }
    }
    drain(&stations)
    for station in stations {
      say("\(station.name) \(station.guest.taken) \(station.guest.received) \(station.flow.copies)")
    }
    let strays = stations.reduce(0) { $0 + $1.strays }
    if strays > 0 {
      say("switchd-soak: \(strays) frames arrived at ports of another VLAN", to: 2)
      exit(1)
    }
  }

  /// Until the switch has taken everything, and then has delivered nothing for half a second.
  private static func drain(_ stations: inout [Station]) {
    var quietSince = monotonicNanoseconds()
    let end = quietSince + 20_000_000_000
    while monotonicNanoseconds() < min(end, quietSince + 500_000_000) {
      for index in stations.indices where stations[index].receive() > 0 || stations[index].guest.waiting > 0 {
        quietSince = monotonicNanoseconds()
      }
    }
  }
}
