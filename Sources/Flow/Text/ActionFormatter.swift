// Actions as text, each as `ovs-ofctl` writes what it has read.

extension FlowFormatter {
  /// `mod_vlan_vid:5,output:1`; `drop` when there are none.
  public func actions(_ actions: [Action]) -> String {
    actions.isEmpty ? "drop" : actions.map(action).joined(separator: ",")
  }

  func action(_ action: Action) -> String {
    switch action {
    case .output(let port): return output(port)
    case .outputField(let bits): return "output:" + bits.text
    case .controller(let output): return controller(output)
    case .group(let id): return "group:\(id)"
    case .resubmit(let port, let table): return resubmit(port, table)
    case .learn(let learn): return self.learn(learn)
    case .conjunction(let id, let clause, let clauses): return "conjunction(\(id),\(clause)/\(clauses))"
    case .note(let bytes): return "note:" + bytes.map(TextNumber.hexByte).joined(separator: ".")
    case .exit: return "exit"
    case .clone(let list): return "clone(\(actions(list)))"
    case .meter(let id): return "meter:\(id)"
    case .clearActions: return "clear_actions"
    case .writeActions(let list): return "write_actions(\(actions(list)))"
    case .writeMetadata(let value, let mask):
      let text = "write_metadata:" + TextNumber.hexadecimal(value)
      return mask == .max ? text : text + "/" + TextNumber.hexadecimal(mask)
    case .gotoTable(let table): return "goto_table:\(table)"
    default: return setting(action)
    }
  }

  private func setting(_ action: Action) -> String {
    switch action {
    case .setField(let field, let value, let mask):
      "set_field:\(field.text(value, mask: mask, ports: ports))->\(field.info.name)"
    case .load(let value, let bits): "load:\(TextNumber.hexadecimal(value))->\(bits.text)"
    case .move(let from, let to): "move:\(from.text)->\(to.text)"
    case .push(let bits): "push:" + bits.text
    case .pop(let bits): "pop:" + bits.text
    case .modEthernetSource(let address): "mod_dl_src:" + TextNumber.ethernet(UInt128(address))
    case .modEthernetDestination(let address): "mod_dl_dst:" + TextNumber.ethernet(UInt128(address))
    case .modIPv4Source(let address): "mod_nw_src:" + TextNumber.ipv4(UInt128(address))
    case .modIPv4Destination(let address): "mod_nw_dst:" + TextNumber.ipv4(UInt128(address))
    case .modTOS(let tos): "mod_nw_tos:\(tos)"
    case .modECN(let ecn): "mod_nw_ecn:\(ecn)"
    case .modTTL(let ttl): "mod_nw_ttl:\(ttl)"
    case .modTransportSource(let port): "mod_tp_src:\(port)"
    case .modTransportDestination(let port): "mod_tp_dst:\(port)"
    case .decrementTTL(let ids):
      ids.isEmpty ? "dec_ttl" : "dec_ttl(\(ids.map { String($0) }.joined(separator: ",")))"
    case .modVLANVID(let vlan): "mod_vlan_vid:\(vlan)"
    case .modVLANPCP(let priority): "mod_vlan_pcp:\(priority)"
    case .popVLAN: "pop_vlan"
    case .pushVLAN(let type): "push_vlan:" + TextNumber.hexadecimal(type, digits: 4)
    default: ""
    }
  }

  private func output(_ number: PortNumber) -> String {
    if number == .controller { return controller(ControllerOutput()) }
    // Reserved ports stand alone.
    return number.isReserved ? port(number) : "output:" + port(number)
  }

  private func controller(_ output: ControllerOutput) -> String {
    if output.reason == .action, output.controllerID == 0 { return "CONTROLLER:\(output.maximumLength)" }
    var parts: [String] = []
    if output.reason != .action { parts.append("reason=" + output.reason.rawValue) }
    if output.maximumLength != .max { parts.append("max_len=\(output.maximumLength)") }
    if output.controllerID != 0 { parts.append("id=\(output.controllerID)") }
    return "controller(\(parts.joined(separator: ",")))"
  }

  private func resubmit(_ number: PortNumber?, _ table: UInt8?) -> String {
    switch (number, table) {
    case (let number?, nil): "resubmit:" + port(number)
    case (let number, let table?): "resubmit(\(number.map(port) ?? ""),\(table))"
    case (nil, nil): "resubmit:IN_PORT"
    }
  }

  private func learn(_ learn: LearnAction) -> String {
    var parts = ["table=\(learn.table)"]
    func number(_ name: String, _ value: some BinaryInteger, unless ordinary: Int = 0) {
      if Int(truncatingIfNeeded: value) != ordinary { parts.append("\(name)=\(value)") }
    }
    number("idle_timeout", learn.idleTimeout)
    number("hard_timeout", learn.hardTimeout)
    number("fin_idle_timeout", learn.finIdleTimeout)
    number("fin_hard_timeout", learn.finHardTimeout)
    number("priority", learn.priority, unless: Int(FlowDescription.defaultPriority))
    if learn.sendsFlowRemoved { parts.append("send_flow_rem") }
    if learn.deletesLearned { parts.append("delete_learned") }
    if learn.cookie != 0 { parts.append("cookie=" + TextNumber.hexadecimal(learn.cookie)) }
    number("limit", learn.limit)
    if let bits = learn.resultDestination { parts.append("result_dst=" + bits.text) }
    return "learn(\((parts + learn.items.map(item)).joined(separator: ",")))"
  }

  private func item(_ item: LearnAction.Item) -> String {
    switch item {
    case .match(let bits, .field(let source)): bits == source ? bits.text : bits.text + "=" + source.text
    case .match(let bits, .immediate(let value)):
      bits.isAllAddressable
        ? "\(bits.field.info.name)=\(bits.field.text(value, ports: ports))"
        : bits.text + "=" + TextNumber.hexadecimal(value)
    case .load(let bits, .field(let source)): "load:\(source.text)->\(bits.text)"
    case .load(let bits, .immediate(let value)): "load:\(TextNumber.hexadecimal(value))->\(bits.text)"
    case .output(let bits): "output:" + bits.text
    }
  }
}

extension PortNumber {
  var isReserved: Bool { Self.names.contains { $0.number == self } }
}
