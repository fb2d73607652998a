/// The flows of a table that may go to make room, the least important first, of those the one that expires soonest: a
/// binary heap. Traffic puts a flow's end off without telling, so the first one's is checked when it is asked for.
struct EvictionQueue {
  private struct Entry {
    let rule: FlowRule
    let end: UInt64

    func precedes(_ other: Entry) -> Bool {
      (rule.importance, end, rule.order) < (other.rule.importance, other.end, other.rule.order)
    }
  }

  private var heap: ContiguousArray<Entry> = []

  init(_ rules: [FlowRule]) {
    for rule in rules { add(rule) }
  }

  mutating func add(_ rule: FlowRule) {
    guard let end = rule.end?.time else { return }
    heap.append(Entry(rule: rule, end: end))
    rise(heap.count - 1)
  }

  /// The first flow that is still there; the others before it are forgotten.
  mutating func first(where isThere: (FlowRule) -> Bool) -> FlowRule? {
    while let top = heap.first {
      let end = top.rule.end?.time ?? top.end
      if isThere(top.rule) && end == top.end { return top.rule }
      if isThere(top.rule) {
        heap[0] = Entry(rule: top.rule, end: end)
      } else if let last = heap.popLast(), !heap.isEmpty {
        heap[0] = last
      }
      if !heap.isEmpty { sink(0) }
    }
    return nil
  }

  /// Forgets flows that are gone, once they are most.
  mutating func compact(_ thereAre: Int, where isThere: (FlowRule) -> Bool) {
    guard heap.count > 2 * thereAre + 64 else { return }
    self = EvictionQueue(heap.map(\.rule).filter(isThere))
  }

  private mutating func rise(_ start: Int) {
    var place = start
    while place > 0, heap[place].precedes(heap[(place - 1) / 2]) {
      heap.swapAt(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
  }

  private mutating func sink(_ start: Int) {
    var place = start
    while true {
      var least = place
      for child in [2 * place + 1, 2 * place + 2]
      where child < heap.count && heap[child].precedes(heap[least]) {
        least = child
      }
      if least == place { return }
      heap.swapAt(place, least)
      place = least
    }
  }
}
