import Datapath
import Flow
import Glibc
import Linux
import Packet
import Ports

/// Our datapath within this process, on ports of memory.
final class FlowSwitch {
  private let loop: EventLoop
  private let datapath: Datapath
  private let bridge: BridgeID
  private var ports: [UInt16: (id: PortID, port: MemoryPort)] = [:]
  var pipeline: FlowPipeline { datapath.flows(of: bridge)! }

  init(_ ports: [(number: UInt16, vlan: VLANConfiguration)]) throws {
    loop = try EventLoop()
    var poll = PollSettings()
    poll.idleMicroseconds = 1
    datapath = try Datapath(loop: loop, settings: poll)
    var settings = BridgeSettings()
    settings.startsWithNormal = false
    bridge = datapath.addBridge("br0", settings)
    for (number, vlan) in ports {
      let port = MemoryPort(name: "p\(number)", capacity: 4096, accepts: .all)
      self.ports[number] = (try datapath.addPort(port, to: bridge, number: number, vlan: vlan), port)
    }
  }

  deinit { datapath.stop() }

  func load(_ pipeline: FlowLines) throws {
    self.pipeline.reset(startsWithNormal: false)
    datapath.flushAddresses()
    let parser = FlowParser()
    for group in pipeline.groups {
      try self.pipeline.addGroup(try parser.group(group, requiresBuckets: false))
    }
    try self.pipeline.apply(try (pipeline.flows + pipeline.plainFlows).map { try parser.flow($0, for: .add) })
  }

  /// Hands in `frame` at port `number`, and returns what came out, by port.
  func send(_ frame: [UInt8], at number: UInt16) throws -> [UInt16: [[UInt8]]] {
    let entry = ports[number]!
    let before = lookups
    guard entry.port.send(frame) else { throw HarnessError("port \(number) is full") }
    let deadline = now() + 20
    // What frames count, and teach, is told when the poll thread goes to sleep.
    while lookups == before {
      guard now() < deadline else { throw HarnessError("the poll thread took no frame within 20 s") }
      usleep(5)
    }
    entry.port.synchronize()
    // What was learned is put into the tables.
    loop.turn(atMostMilliseconds: 0)
    var result: [UInt16: [[UInt8]]] = [:]
    for (number, entry) in ports {
      while let next = entry.port.next() { result[number, default: []].append(next.bytes) }
    }
    return result
  }

  private var lookups: UInt64 { pipeline.statistics().first { $0.table == 0 }?.lookups ?? 0 }

  /// What happens to `frame`, step by step.
  func trace(_ frame: [UInt8], at port: UInt16) -> String {
    let key = FlowFrame.key(of: frame, inPort: PortNumber(port))
    let (_, steps) = Translator(lookup: pipeline.active).trace(key)
    return steps.map { step in
      let text =
        switch step.event {
        case .lookup(let table, let rule):
          "table \(table): " + (rule.map { FlowFormatter().flow($0.description) } ?? "no match")
        case .action(let action): FlowFormatter().actions([action])
        default: "\(step.event)"
        }
      return String(repeating: "  ", count: step.depth) + text
    }.joined(separator: "\n")
  }
}

/// Groups and flows, as text.
struct FlowLines {
  var groups: [String] = []
  var flows: [String] = []
  /// Those to be said in OpenFlow 1.0.
  var plainFlows: [String] = []
  /// The others, as `ovs-ofctl bundle` has them.
  var bundle: [String] { groups.map { "group add " + $0 } + flows.map { "flow add " + $0 } }
}
