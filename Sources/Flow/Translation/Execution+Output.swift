// Outputs: every one is an operation of the program, with the form the frame has at that moment.

extension Execution {
  mutating func output(to port: PortNumber) {
    switch port {
    case .none: note("no port: nothing done")
    case .inPort: send(to: readInPort())
    case .table: enter(table: 0)
    case .normal: sendNormally()
    case .flood, .all: flood()
    case .controller: send(toController: ControllerOutput())
    default:
      outcome.dependencies |= Dependency.port(port)
      guard lookup.port(port) != nil else { return note("there is no port \(port): nothing done") }
      if port == readInPort() {
        note("not back to the port it came from: that is output to IN_PORT")
      } else {
        append { .output(port, rewrite: $0) }
      }
    }
  }

  mutating func output(toPortIn source: SubField) {
    let number = read(source)
    guard let port = UInt16(exactly: number) else { return note("\(number) is no port: nothing done") }
    note("output to port \(PortNumber(port))")
    output(to: PortNumber(port))
  }

  /// The port of that number, whatever the frame came in by.
  private mutating func send(to port: PortNumber) {
    outcome.dependencies |= Dependency.port(port)
    guard lookup.port(port) != nil else { return note("there is no port \(port): nothing done") }
    append { .output(port, rewrite: $0) }
  }

  private mutating func sendNormally() {
    let port = readInPort()
    outcome.dependencies |= Dependency.port(port)
    // Without a port of that number there is no VLAN it could be of. Frames of controllers come from none.
    guard port == .none || lookup.port(port) != nil else {
      return note("there is no port \(port) it could have come from: nothing done")
    }
    append { .normal(from: port, rewrite: $0) }
  }

  private mutating func flood() {
    let port = readInPort()
    append { .flood(except: port.isReal ? port : nil, rewrite: $0) }
  }

  /// A reason that is not given (`action`) follows from where the action stands.
  mutating func send(toController output: ControllerOutput) {
    var output = output
    if output.reason == .action {
      if case .bucket = frames.last?.ending {
        output.reason = .group
      } else if isInActionSet {
        output.reason = .actionSet
      } else if frames.last?.isMissFlow == true {
        output.reason = .noMatch
      }
    }
    append { [output] in .controller(output, rewrite: $0) }
  }

  /// With the index of the form the frame has.
  private mutating func append(_ makeOperation: (Int) -> FlowOperation) {
    guard let index = rewriteIndex() else { return }
    append(makeOperation(index))
  }

  mutating func append(_ operation: FlowOperation) {
    guard outcome.operations.count < limits.operations else {
      return fail("more than \(limits.operations) outputs")
    }
    outcome.operations.append(operation)
    record(.operation(operation), below: 1)
  }
}
