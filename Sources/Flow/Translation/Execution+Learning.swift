// `learn`: a flow made from the frame at hand (`ovs-actions(7)`, "The learn action").

extension Execution {
  mutating func perform(_ learn: LearnAction) {
    guard outcome.learned.count < limits.operations else {
      return fail("more than \(limits.operations) flows learned")
    }
    var flow = FlowDescription(
      table: learn.table, priority: learn.priority, cookie: learn.cookie, idleTimeout: learn.idleTimeout,
      hardTimeout: learn.hardTimeout, flags: learn.sendsFlowRemoved ? .sendsFlowRemoved : [])
    for item in learn.items {
      switch item {
      case .match(let bits, let source):
        flow.match.set(bits, value(of: source))
      case .load(let bits, let source):
        flow.actions.append(.load(value(of: source) & bits.ones, bits))
      case .output(let source):
        if let port = Self.learnablePort(read(source)) { flow.actions.append(.output(port)) }
      }
    }
    if learn.finIdleTimeout > 0 || learn.finHardTimeout > 0, endsConnection() {
      flow.idleTimeout = Self.reduced(flow.idleTimeout, to: learn.finIdleTimeout)
      flow.hardTimeout = Self.reduced(flow.hardTimeout, to: learn.finHardTimeout)
    }
    var modification = FlowModification(.add, flow)
    modification.learnLimit = learn.limit
    outcome.learned.append(modification)
    record(.learned(modification), below: 1)
    guard let destination = learn.resultDestination else { return }
    if learn.limit > 0 { outcome.dependencies |= Dependency.learnedFlows }
    let isAdmitted = lookup.admits(learned: flow, limit: learn.limit)
    if !isAdmitted { note("its limit is reached: nothing is learned") }
    write(destination, isAdmitted ? 1 : 0)
  }

  private mutating func value(of source: LearnAction.Source) -> UInt128 {
    switch source {
    case .field(let bits): read(bits)
    case .immediate(let value): value
    }
  }

  /// Of the reserved ones only those that need nothing else.
  private static func learnablePort(_ number: UInt128) -> PortNumber? {
    guard let value = UInt16(exactly: number) else { return nil }
    let port = PortNumber(value)
    return port.isReal || port == .inPort || port == .flood || port == .all ? port : nil
  }

  /// Whether the frame is TCP and has FIN or RST set.
  private mutating func endsConnection() -> Bool {
    meets(.tcp) && read(0x5, of: FlowWord.ethernetSource) != 0
  }

  /// 0 is without end, and as a limit none.
  private static func reduced(_ timeout: UInt16, to limit: UInt16) -> UInt16 {
    limit > 0 && (timeout == 0 || timeout > limit) ? limit : timeout
  }
}
