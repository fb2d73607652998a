/// `trace`: of a flow that the user describes, or of a frame from a capture.
enum TraceCommand {
  @Sendable static func run(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError) {
    let arguments = try subject(request)
    session.show(
      try session.call(
        "flow/trace",
        [request.arguments[0]] + arguments + session.portNameOption(request)
          + ControlRunner.format(session)))
  }

  private static func subject(_ request: Invocation.Request) throws(CommandError) -> [String] {
    let text = request.arguments.count > 1 ? request.arguments[1] : nil
    guard let file = request.value("pcap") else {
      for option in ["frame", "in-port"] where request.has(option) {
        throw .usage("--\(option) is about a frame of a capture; name it with --pcap=FILE")
      }
      guard let text else {
        throw .usage("trace needs a flow, or a frame: --pcap=FILE (usage: \(request.command.synopsis))")
      }
      return [text]
    }
    guard text == nil else {
      throw .usage("trace takes a flow or --pcap=FILE, not both")
    }
    let number = request.value("frame") ?? "1"
    guard let place = Int(number), place > 0 else {
      throw .usage("--frame=\(number) is not the number of a frame; the first is 1")
    }
    let frame = try CaptureFile.frame(place, of: file)
    return ["--frame=\(hexadecimal(frame))"] + (request.value("in-port").map { ["in_port=\($0)"] } ?? [])
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
