import Flow
import JSONRPC

/// `--sort` and `--rsort`: by fields, or by priority.
struct FlowOrder {
  private enum Key {
    case priority
    case field(Field)
  }

  private var keys: [(key: Key, descends: Bool)] = []

  init(_ arguments: ControlArguments) throws(ControlError) {
    for (option, descends) in [("sort", false), ("rsort", true)] {
      guard let names = arguments.value(option) else { continue }
      for name in names.isEmpty ? ["priority"] : names.split(separator: ",") {
        keys.append((try Self.key(String(name)), descends))
      }
    }
  }

  private static func key(_ name: String) throws(ControlError) -> Key {
    if name == "priority" { return .priority }
    guard let field = Field.allCases.first(where: { $0.info.names.contains(name) }) else {
      throw ControlError("\(quoted(name)) is no field to sort by; give one a flow can match, or priority\n")
    }
    return .field(field)
  }

  /// Flows that say nothing about a field come behind those that do, in either order; equal ones stay as they are.
  func sort(_ rules: inout [FlowRule]) {
    guard !keys.isEmpty else { return }
    let order = rules.indices.sorted { left, right in
      for (key, descends) in keys {
        let (a, b) = (value(of: rules[left], key), value(of: rules[right], key))
        if a == b { continue }
        guard let a else { return false }
        guard let b else { return true }
        return descends ? a > b : a < b
      }
      return left < right
    }
    rules = order.map { rules[$0] }
  }

  private func value(of rule: FlowRule, _ key: Key) -> UInt128? {
    switch key {
    case .priority: UInt128(rule.priority)
    case .field(let field): rule.match.get(field)?.value
    }
  }
}
