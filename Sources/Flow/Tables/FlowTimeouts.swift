// Which flows go by themselves
// ============================
//
// Traffic moves an idle flow's end without telling anybody, so a flow is looked at when it would end if nothing more
// came, and put off then. Flows wait in a bucket per second, so a look costs what is due, not what is there.

/// Why a flow went by itself.
public enum ExpiryReason: Sendable {
  case idleTimeout, hardTimeout
}

struct FlowTimeouts {
  private var buckets: [UInt64: [ObjectIdentifier: FlowRule]] = [:]
  /// In which bucket a flow waits.
  private var seconds: [ObjectIdentifier: UInt64] = [:]
  /// The first second not looked at.
  private var next: UInt64 = 0
  private var queues: [UInt8: EvictionQueue] = [:]

  mutating func add(_ rule: FlowRule) {
    guard let end = rule.end else { return }
    wait(rule, until: end.time)
    queues[rule.table]?.add(rule)
    queues[rule.table]?.compact(seconds.count) { seconds[ObjectIdentifier($0)] != nil }
  }

  mutating func remove(_ rule: FlowRule) {
    guard let second = seconds.removeValue(forKey: ObjectIdentifier(rule)) else { return }
    buckets[second]?[ObjectIdentifier(rule)] = nil
    if buckets[second]?.isEmpty == true { buckets[second] = nil }
  }

  private mutating func wait(_ rule: FlowRule, until time: UInt64) {
    let second = max(time / 1000, next)
    seconds[ObjectIdentifier(rule)] = second
    buckets[second, default: [:]][ObjectIdentifier(rule)] = rule
  }

  /// The flows whose time is over; they stay until removed.
  mutating func due(at now: UInt64) -> [(FlowRule, ExpiryReason)] {
    let current = now / 1000
    guard current >= next else { return [] }
    // Of many seconds only those with flows, should the clock have jumped.
    let passed =
      current - next < UInt64(buckets.count)
      ? Array(next...current) : buckets.keys.filter { $0 <= current }.sorted()
    var expired: [(FlowRule, ExpiryReason)] = []
    next = current
    for second in passed {
      guard let waiting = buckets.removeValue(forKey: second) else { continue }
      for rule in waiting.values {
        guard let end = rule.end else { continue }
        if end.time <= now {
          expired.append((rule, end.reason))
          wait(rule, until: (current + 1) * 1000)
        } else {
          wait(rule, until: end.time)
        }
      }
    }
    return expired
  }

  mutating func victim(_ table: UInt8) -> FlowRule? {
    var queue = queues[table] ?? EvictionQueue(allRules.filter { $0.table == table })
    defer { queues[table] = queue }
    return queue.first { seconds[ObjectIdentifier($0)] != nil }
  }

  private var allRules: [FlowRule] { buckets.values.flatMap(\.values) }
}

extension FlowRule {
  /// When the flow goes if there is no more traffic, in milliseconds, and why; nil: never.
  var end: (time: UInt64, reason: ExpiryReason)? {
    let hard = hardTimeout == 0 ? nil : modified &+ UInt64(hardTimeout) * 1000
    let idle = idleTimeout == 0 ? nil : max(counters.lastUsed, created) &+ UInt64(idleTimeout) * 1000
    switch (hard, idle) {
    case (nil, nil): return nil
    case (let hard?, nil): return (hard, .hardTimeout)
    case (nil, let idle?): return (idle, .idleTimeout)
    case (let hard?, let idle?): return hard <= idle ? (hard, .hardTimeout) : (idle, .idleTimeout)
    }
  }
}
