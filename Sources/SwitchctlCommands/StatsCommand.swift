/// `stats`: the counters of ports, or of their queues.
enum StatsCommand {
  @Sendable static func run(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError) {
    let method = request.has("queues") ? "stats/queues" : "stats/show"
    session.show(try session.call(method, request.arguments + ControlRunner.format(session)))
  }
}
