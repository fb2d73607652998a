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
  private var settings = PollSettings()
  private var isTaught = false
  private var ports: [UInt16: (id: PortID, port: MemoryPort)] = [:]
  var pipeline: FlowPipeline { datapath.flows(of: bridge)! }

  init(_ ports: [(number: UInt16, vlan: VLANConfiguration)]) throws {
    loop = try EventLoop()
    settings.idleMicroseconds = 1
    datapath = try Datapath(loop: loop, settings: settings)
    var bridgeSettings = BridgeSettings()
    bridgeSettings.startsWithNormal = false
    bridge = datapath.addBridge("br0", bridgeSettings)
    for (number, vlan) in ports {
      let port = MemoryPort(name: "p\(number)", capacity: 4096, accepts: .all)
      self.ports[number] = (try datapath.addPort(port, to: bridge, number: number, vlan: vlan), port)
    }
  }

  deinit { datapath.stop() }

  func load(_ pipeline: FlowLines) throws {
    self.pipeline.reset(startsWithNormal: false)
    datapath.flushAddresses()
    isTaught = (pipeline.flows + pipeline.plainFlows).contains { $0.contains("learn(") }
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
    if isTaught { try replaceThread() }
    loop.turn(atMostMilliseconds: 0)
    var result: [UInt16: [[UInt8]]] = [:]
    for (number, entry) in ports {
      while let next = entry.port.next() { result[number, default: []].append(next.bytes) }
    }
    return result
  }

  /// With a cache comes a time in which hits have not taught anything yet: every frame is to be a miss.
  private func replaceThread() throws {
    settings.cpus = settings.cpus.isEmpty ? [0] : []
    try datapath.apply(settings)
  }

  private var lookups: UInt64 { pipeline.statistics().first { $0.table == 0 }?.lookups ?? 0 }

  /// What will happen to `frame`.
  func trace(_ frame: [UInt8], at port: UInt16) -> FlowTrace {
    let key = FlowFrame.key(of: frame, inPort: PortNumber(port))
    return FlowTrace(steps: Translator(lookup: pipeline.active).trace(key).1)
  }
}

/// Groups and flows, as text.
struct FlowLines {
  var groups: [String] = []
  var flows: [String] = []
  /// Those to be said in OpenFlow 1.0.
  var plainFlows: [String] = []
  /// All in any order.
  var all: [String] { groups + flows + plainFlows }
  /// The others, as `ovs-ofctl bundle` has them.
  var bundle: [String] { groups.map { "group add " + $0 } + flows.map { "flow add " + $0 } }
}
