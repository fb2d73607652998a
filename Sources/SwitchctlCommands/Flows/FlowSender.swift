/// Sends changes of flows to the switch: in one request when all of them are to happen or none, else in several, which
/// do not wait for one another.
struct FlowSender {
  let session: ControlSession
  let bridge: String
  let isBundle: Bool

  init(_ session: ControlSession, _ request: Invocation.Request) {
    self.session = session
    bridge = request.arguments[0]
    isBundle = request.has("bundle")
  }

  private static let linesPerRequest = 4096
  private static let bytesPerRequest = 1 << 20
  private static let requestsAtOnce = 4
  /// What the control socket takes at once, with room for what is around it.
  private static let linesPerBundle = 262_000
  private static let bytesPerBundle = 60 << 20

  func send(_ flows: FlowLines) throws(CommandError) {
    do throws(CommandError) {
      if isBundle { try sendBundle(flows.lines) } else { try sendInParts(flows.lines) }
    } catch {
      guard let file = flows.file else { throw error }
      throw CommandError("\(file): \(error.message)")
    }
  }

  private func sendBundle(_ lines: [String]) throws(CommandError) {
    let bytes = lines.reduce(0) { $0 + Self.size($1) }
    guard lines.count <= Self.linesPerBundle, bytes <= Self.bytesPerBundle else {
      throw CommandError(
        "a bundle has at most \(Self.linesPerBundle) lines and \(Self.bytesPerBundle >> 20) MiB; send it without --bundle"
      )
    }
    _ = try session.call("flow/mod", [bridge, "--bundle"] + lines)
  }

  private func sendInParts(_ lines: [String]) throws(CommandError) {
    var next = 0
    while next < lines.count {
      let part = Self.part(lines[next...])
      let place = lines.count == 1 ? [] : ["--line=\(next + 1)"]
      try session.send("flow/mod", [bridge] + place + part)
      next += part.count
      while session.pending >= Self.requestsAtOnce { _ = try session.receive() }
    }
    while session.pending > 0 { _ = try session.receive() }
  }

  /// The first lines, as many as one request takes.
  private static func part(_ lines: ArraySlice<String>) -> ArraySlice<String> {
    var bytes = 0
    let count = lines.prefix(linesPerRequest).prefix { line in
      bytes += size(line)
      return bytes <= bytesPerRequest
    }.count
    return lines.prefix(max(count, 1))
  }

  /// Bytes of a line in a request, but for what has to be escaped.
  private static func size(_ line: String) -> Int { line.utf8.count + 3 }
}
