// `learn(…)` as text: options, then what the learned flow matches (`FIELD`, `FIELD=VALUE`, `FIELD=FIELD`), loads
// (`load:…->…`) and outputs to (`output:FIELD`).

struct LearnParser {
  let ports: (any PortNames)?

  func parse(_ text: Text) throws(FlowError) -> LearnAction {
    var learn = LearnAction()
    var reader = TextReader(text)
    while let pair = reader.next() {
      if try option(pair, &learn) { continue }
      switch pair.key.string {
      case "load": learn.items.append(try load(pair.value))
      case "output": learn.items.append(.output(try SubField(text: pair.value)))
      default: learn.items.append(try match(pair))
      }
    }
    return learn
  }

  private func option(_ pair: TextPair, _ learn: inout LearnAction) throws(FlowError) -> Bool {
    switch pair.key.string {
    case "table": learn.table = try number(pair, "a table, 0 to 254")
    case "priority": learn.priority = try number(pair, "a priority, 0 to 65535")
    case "idle_timeout": learn.idleTimeout = try number(pair, "seconds, 0 to 65535")
    case "hard_timeout": learn.hardTimeout = try number(pair, "seconds, 0 to 65535")
    case "fin_idle_timeout": learn.finIdleTimeout = try number(pair, "seconds, 0 to 65535")
    case "fin_hard_timeout": learn.finHardTimeout = try number(pair, "seconds, 0 to 65535")
    case "cookie": learn.cookie = try number(pair, "a number of 64 bits")
    case "send_flow_rem": learn.sendsFlowRemoved = true
    case "delete_learned": learn.deletesLearned = true
    case "limit": learn.limit = try number(pair, "a number of flows")
    case "result_dst": learn.resultDestination = try SubField(text: pair.value)
    default: return false
    }
    return true
  }

  private func number<Number: FixedWidthInteger>(_ pair: TextPair, _ what: String) throws(FlowError) -> Number
  {
    try ActionParser(ports: ports).number(pair.value, "learn(\(pair.key.shown)=…)", what)
  }

  private func match(_ pair: TextPair) throws(FlowError) -> LearnAction.Item {
    let bits: SubField
    do { bits = try SubField(text: pair.key) } catch {
      throw FlowError("learn(\(pair.description)): this is neither an option of learn nor a field: \(error)")
    }
    // A field alone is matched with what the frame at hand has there.
    if pair.value.isEmpty { return .match(bits, .field(bits)) }
    if let source = try? SubField(text: pair.value) { return .match(bits, .field(source)) }
    if bits.isAllAddressable {
      let value = try bits.field.value(of: pair.value, ports: ports)
      guard value.mask == bits.field.wholeMask, value.value & ~value.mask & bits.ones == 0 else {
        throw FlowError(
          "learn(\(pair.description)): give a value without a mask; for some bits of a field write FIELD[BITS]=NUMBER"
        )
      }
      return .match(bits, .immediate(value.value & bits.ones))
    }
    return .match(bits, .immediate(try immediate(pair.value, bits, in: pair.description)))
  }

  private func load(_ text: Text) throws(FlowError) -> LearnAction.Item {
    guard let (source, destination) = text.splitAtArrow() else {
      throw FlowError("learn(load:\(text.shown)): write load:FIELD->FIELD or load:NUMBER->FIELD")
    }
    let bits = try SubField(text: destination.trimmed)
    if source.first?.isDigit == true {
      return .load(bits, .immediate(try immediate(source, bits, in: "load:\(text.shown)")))
    }
    return .load(bits, .field(try SubField(text: source.trimmed)))
  }

  private func immediate(_ text: Text, _ bits: SubField, in description: String) throws(FlowError) -> UInt128
  {
    guard let value = TextNumber.integer(text), value & ~bits.ones == 0 else {
      throw FlowError("learn(\(description)): \(text.quoted) is not a number of \(bits.count) bits")
    }
    return value
  }
}

extension UInt8 {
  var isDigit: Bool { self >= 0x30 && self <= 0x39 }
}
