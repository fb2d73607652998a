/// OpenFlow port numbers of one bridge.
///
/// A number stays an interface's for as long as the interface is configured, and is given to another one as late as
/// possible: counters and flows of the old one may still be in somebody's mind.
struct PortNumbers {
  /// What a physical or virtual port can have (OpenFlow 1.0: below OFPP_MAX, 0xff00).
  static let range = 1...0xFEFF
  static let local = 65534

  private var owners: [Int: String] = [:]
  private var numbers: [String: Int] = [:]
  /// Where the search for a free number begins.
  private var next = 1

  static func valid(_ number: Int64?) -> Int? {
    guard let number, let number = Int(exactly: number), range.contains(number) else { return nil }
    return number
  }

  subscript(interface: String) -> Int? { numbers[interface] }

  /// Whether `assign` would leave the interface as it is, whatever others ask for.
  func isSettled(_ interface: String, _ request: NumberRequest) -> Bool {
    numbers[interface].map { Self.keeps($0, request) } ?? false
  }

  /// Gives every interface of the bridge a number; one that has a suitable one keeps it. Numbers asked for go first,
  /// and only an interface that asks for another one loses its own (so that two can swap). Without a free number an
  /// interface stays without.
  /// - Parameter requests: those of all interfaces that are not settled; of the others as many as one likes.
  mutating func assign(_ requests: [(interface: String, request: NumberRequest)]) {
    var former: [String: Int] = [:]
    for (interface, request) in requests {
      guard let number = numbers[interface], !Self.keeps(number, request) else { continue }
      if number != Self.local { former[interface] = number }
      release(interface)
    }
    for (interface, request) in requests where numbers[interface] == nil {
      switch request {
      case .local: take(Self.local, interface)
      case .requested(let number) where owners[number] == nil: take(number, interface)
      case .requested, .any: break
      }
    }
    for (interface, request) in requests where numbers[interface] == nil {
      var wish = former[interface]
      if case .any(let previous) = request { wish = previous }
      if let wish, owners[wish] == nil {
        take(wish, interface)
        next = max(next, wish + 1)
      } else if let number = free() {
        take(number, interface)
        next = number + 1
      }
    }
  }

  mutating func release(_ interface: String) {
    guard let number = numbers.removeValue(forKey: interface) else { return }
    owners[number] = nil
  }

  private static func keeps(_ number: Int, _ request: NumberRequest) -> Bool {
    switch request {
    case .local: number == local
    case .requested(let wanted): number == wanted
    case .any: number != local
    }
  }

  private mutating func take(_ number: Int, _ interface: String) {
    owners[number] = interface
    numbers[interface] = number
  }

  private func free() -> Int? {
    let end = Self.range.upperBound + 1
    return (min(next, end)..<end).first { owners[$0] == nil }
      ?? (Self.range.lowerBound..<min(next, end)).first { owners[$0] == nil }
  }
}
