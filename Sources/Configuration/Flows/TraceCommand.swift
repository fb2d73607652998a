import Datapath
import Flow
import JSONRPC
import Packet

// `flow/trace`: what happens to a frame, and why.
extension RuntimeCommands {
  func trace(_ name: String, _ arguments: [String]) throws(ControlError) -> String {
    let arguments = try ControlArguments(
      name, arguments, options: ["frame", "names", "no-names", "format"], words: 1...2)
    let pipeline = try flows(of: arguments.bridge)
    let key = try key(arguments)
    let (translation, steps) = Translator(lookup: pipeline.active).trace(key)
    let normal = NormalExplanation(self, bridge: try identifier(of: arguments.bridge), name: arguments.bridge)
    let report = TraceReport(key, translation, steps, formatter(arguments)) { normal.text(from: $0, key: $1) }
    guard arguments.wantsJSON else {
      return report.text(bridge: arguments.bridge, isCached: !pipeline.active.isNormalOnly)
    }
    return report.json.text + "\n"
  }

  /// The frame that is asked about.
  private func key(_ arguments: ControlArguments) throws(ControlError) -> FlowWords {
    let parser = FlowParser(ports: portNames(of: arguments.bridge))
    guard let digits = arguments.value("frame") else {
      guard let text = arguments.subject else {
        throw ControlError("\(arguments.command) needs a flow, or a frame: --frame=HEX\n")
      }
      do throws(FlowError) { return try parser.key(text) } catch { throw ControlError("\(error)\n") }
    }
    let text = arguments.subject ?? "in_port=ANY"
    guard text.hasPrefix("in_port=") else {
      throw ControlError("beside --frame only in_port=PORT can be given, not \(quoted(text))\n")
    }
    let port: FlowWords
    do throws(FlowError) { port = try parser.key(text) } catch { throw ControlError("\(error)\n") }
    guard let frame = Self.bytes(digits), frame.count >= 14 else {
      throw ControlError("--frame needs the bytes of a frame, 14 at least, as hexadecimal digits\n")
    }
    return FlowFrame.key(of: frame, inPort: PortNumber(UInt16(truncatingIfNeeded: port[.inPort])))
  }

  private static func bytes(_ digits: String) -> [UInt8]? {
    let digits = Array(digits.utf8)
    guard digits.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = Character(Unicode.Scalar(digits[index])).hexDigitValue,
        let low = Character(Unicode.Scalar(digits[index + 1])).hexDigitValue
      else { return nil }
      bytes.append(UInt8(high << 4 | low))
    }
    return bytes
  }
}

/// What MAC learning does with a frame, in a sentence.
struct NormalExplanation {
  private let commands: RuntimeCommands
  private let bridge: BridgeID
  private let ports: [PortNumber: PortID]

  init(_ commands: RuntimeCommands, bridge: BridgeID, name: String) {
    self.commands = commands
    self.bridge = bridge
    ports = Dictionary(
      commands.interfaces(on: name).compactMap { interface in
        let condition = commands.reconciler.condition(of: interface.name)
        guard let number = condition?.number.flatMap(UInt16.init(exactly:)), let id = condition?.attached?.id
        else {
          return nil
        }
        return (PortNumber(number), id)
      }
    ) { first, _ in first }
  }

  /// - Parameter key: the frame's fields when it comes to the action.
  func text(from number: PortNumber, key: FlowWords) -> String {
    guard let port = ports[number] else {
      return "dropped: port \(number) is no port of the bridge, so the frame belongs to no VLAN"
    }
    let address = MACAddress(bits: UInt64(truncatingIfNeeded: key[.ethernetDestination]))
    let isTagged = key[.vlanTCI] & 0x1000 != 0
    let decision = commands.datapath.normalDecision(
      on: bridge, from: port, destination: address, vlan: isTagged ? Int(key[.vlanTCI] & 0xFFF) : 0)
    switch decision {
    case .output(let output, let vlan):
      let name = commands.reconciler.interface(of: output)?.name ?? "a port that is going"
      let number = commands.reconciler.condition(of: name)?.number.map { " (port \($0))" } ?? ""
      return "learned: \(address) in VLAN \(vlan) is behind \(name)\(number)"
    case .flood(let vlan):
      let why =
        address.isGroup ? "\(address) is a group address" : "\(address) is not learned in VLAN \(vlan)"
      return "flooded: \(why); to every other port of VLAN \(vlan)"
    case .drop(let reason): return "dropped: \(reason)"
    }
  }
}

extension TraceReport {
  fileprivate var json: JSON {
    [
      "flow": .string(flow), "steps": .array(steps.map { .string($0) }),
      "final_flow": .string(finalFlow ?? flow), "megaflow": .string(megaflow),
      "datapath_actions": .string(actions), "dropped": drop.map { .string($0) } ?? .null,
      "decided_by": .array(decisions.map { .string($0) }),
    ]
  }
}
