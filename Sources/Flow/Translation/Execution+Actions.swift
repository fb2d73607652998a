// One action after the other, as `ovs-actions(7)` says.

extension Execution {
  /// Executes `action`. What it leads to (a table's flow, a bucket) is left to the loop.
  mutating func perform(_ action: Action) {
    let step = steps.count
    record(.action(action), below: 0)
    perform(unrecorded: action)
    // What it led to has not begun yet.
    if isTraced, step < limits.traceSteps { steps[step].key = headers.key }
  }

  private mutating func perform(unrecorded action: Action) {
    switch action {
    case .output(let port): output(to: port)
    case .outputField(let source): output(toPortIn: source)
    case .controller(let output): send(toController: output)
    case .group(let id): performGroup(id)
    case .resubmit(let port, let number):
      enter(table: number ?? table, from: port == .inPort ? nil : port)
    case .gotoTable(let number): enter(table: number)
    case .learn(let learn): perform(learn)
    case .push(let source): push(source)
    case .pop(let destination): pop(destination)
    case .exit: exits = true
    case .clone(let actions): clone(actions)
    case .meter(let id): meter(id)
    case .clearActions: actionSet = []
    case .writeActions(let actions): add(toActionSet: actions)
    case .conjunction: note("conjunction does nothing when its flow is executed")
    case .note: break
    default: change(action)
    }
  }

  /// The actions that change fields and do nothing else.
  private mutating func change(_ action: Action) {
    switch action {
    case .setField(let field, let value, let mask): write(field, value, mask: mask)
    case .load(let value, let destination): write(destination, value)
    case .move(let source, let destination): move(source, destination)
    case .modEthernetSource(let address): write(.ethernetSource, UInt128(address))
    case .modEthernetDestination(let address): write(.ethernetDestination, UInt128(address))
    case .modIPv4Source(let address): write(.ipv4Source, UInt128(address))
    case .modIPv4Destination(let address): write(.ipv4Destination, UInt128(address))
    case .modTOS(let value): write(.ipTOS, UInt128(value))
    case .modECN(let value): write(.ipECN, UInt128(value))
    case .modTTL(let value): write(.ipTTL, UInt128(value))
    case .decrementTTL(let controllers): decrementTTL(controllers)
    case .modTransportSource(let port): writePort(UInt64(port) << 48, mask: 0xFFFF << 48)
    case .modTransportDestination(let port): writePort(UInt64(port) << 32, mask: 0xFFFF << 32)
    case .modVLANVID(let vid): writeTag(UInt64(vid & 0xFFF) << 32, mask: 0xFFF << 32)
    case .modVLANPCP(let pcp): writeTag(UInt64(pcp & 7) << 45, mask: 7 << 45)
    case .popVLAN: if hasOuterTag() { popTag() } else { note("the frame has no tag: nothing done") }
    case .pushVLAN(let tpid): pushTag(tpid)
    case .writeMetadata(let value, let mask): headers.write(value, to: FlowWord.metadata, mask: mask)
    default: break
    }
  }

  // MARK: Fields

  private mutating func move(_ source: SubField, _ destination: SubField) {
    guard meets(source.field.info.prerequisite) else {
      return note("the frame has no \(source.field.info.name): nothing done")
    }
    // What is not written is not read either.
    guard destination.field.info.isWritable, meets(destination.field.info.prerequisite) else {
      return note("the frame has no \(destination.field.info.name) that can be written: nothing done")
    }
    write(destination, read(source))
  }

  private mutating func writePort(_ value: UInt64, mask: UInt64) {
    guard meets(.tcp) || meets(.udp) || meets(.sctp) else {
      return note("the frame has no ports: nothing done")
    }
    writeBits(value, to: FlowWord.transport, mask: mask)
  }

  private mutating func decrementTTL(_ controllers: [UInt16]) {
    guard meets(.ip) else { return note("the frame has no TTL: nothing done") }
    let ttl = read(.ipTTL)
    if ttl > 1 { return write(.ipTTL, ttl - 1) }
    timeToLiveExpired = true
    note("its time to live is over: the rest of this list is not executed")
    for id in controllers.isEmpty ? [0] : controllers {
      send(toController: ControllerOutput(reason: .invalidTTL, controllerID: id))
    }
    endList()
  }

  // MARK: Tags

  /// Makes a tag where there is none.
  private mutating func writeTag(_ value: UInt64, mask: UInt64) {
    writeBits(value | Tags.outerPresent, to: FlowWord.tags, mask: mask | Tags.outerPresent)
  }

  private mutating func popTag() {
    // The outer tag may be there only because it was written to: then it is not one of those received, and there is
    // none inside of it either.
    if let tag = headers.outerTag, !hasReceivedTag(tag) {
      headers.clearTags()
    } else if headers.innerTag != 1, read(Tags.innerPresent, of: FlowWord.tags) == 0 {
      // A tag that was pushed onto none. What is left of one whose bit of presence was cleared is none either.
      headers.clearTags()
    } else {
      headers.popTag()
    }
    currentRewrite = nil
  }

  private mutating func pushTag(_ tpid: UInt16) {
    if read(Tags.innerPresent, of: FlowWord.tags) != 0 && hasOuterTag() {
      return fail("a third tag is pushed")
    }
    headers.pushTag(tpid)
    currentRewrite = nil
  }

  // MARK: The stack

  private mutating func push(_ source: SubField) {
    guard stack.bytes < limits.stackBytes else { return fail("\(limits.stackBytes) bytes on the stack") }
    stack.push(read(source), bits: source.count)
  }

  private mutating func pop(_ destination: SubField) {
    guard let value = stack.pop() else { return note("the stack is empty: nothing done") }
    write(destination, value)
  }

  // MARK: Control

  /// The clone has the stack and the action set as they are, and executes the latter when it ends, as Open vSwitch does.
  private mutating func clone(_ actions: [Action]) {
    guard spend(actionSet.count + stack.count) else { return }
    savedHeaders.append(headers)
    saved.append(Saved(stack: stack, actionSet: actionSet))
    push(actions, ending: .pipeline(isClone: true), depthBelow: 1)
  }

  private mutating func meter(_ id: UInt32) {
    outcome.dependencies |= Dependency.meter(id)
    guard let meter = lookup.meter(id) else { return note("there is no meter \(id): nothing done") }
    append(.meter(meter))
  }

  private mutating func add(toActionSet actions: [Action]) {
    guard actions.count <= limits.operations - actionSet.count else {
      return fail("more than \(limits.operations) actions in the action set")
    }
    actionSet += actions
  }
}
