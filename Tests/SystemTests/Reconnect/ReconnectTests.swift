import Glibc
import Testing
import Virtio

// Front-end, switch, connection or all of them go and come back; the driver's rings go on where they were, or begin
// anew, and not one frame sent after that is lost, doubled or out of order.
extension System {
  @Suite struct Reconnection {
    /// Who goes, and in which order who comes back.
    enum Interruption: CaseIterable {
      case socketDropped, frontEndKilled, switchKilled
      case bothRestartedSwitchFirst, bothRestartedFrontEndFirst
    }

    struct Kind: CustomTestStringConvertible {
      var role: Guest.Role
      var pairs: Int
      var isPacked: Bool
      var testDescription: String {
        "\(role == .listens ? "client" : "server"), \(pairs) pairs, \(isPacked ? "packed" : "split")"
      }
      var features: VirtioFeatures {
        var features: VirtioFeatures = [.version1, .mergeableReceiveBuffers]
        if isPacked { features.insert(.packedRing) }
        if pairs > 1 { features.formUnion([.controlQueue, .multiqueue]) }
        return features
      }

      static let all = [Guest.Role.connects, .listens].flatMap { role in
        [1, 4].flatMap { pairs in
          [false, true].map { Kind(role: role, pairs: pairs, isPacked: $0) }
        }
      }
    }

    @Test(arguments: Kind.all)
    func `Every frame after an interruption arrives once and in order, and no buffer is lost`(kind: Kind)
      throws
    {
      try withLab { lab in
        let exchange = try Exchange(lab, kind)
        try exchange.run(rounds: 3)
        var resumptions: [String] = []
        for (index, interruption) in (Interruption.allCases + Interruption.allCases).enumerated() {
          do {
            // With frames under way, and without.
            if index % 2 == 0 { exchange.leaveUnderWay() } else { try exchange.settle() }
            let bothUp = try exchange.interrupt(interruption)
            try exchange.resume()
            resumptions.append("\(interruption) \(Int((now() - bothUp) * 1000)) ms")
            try exchange.settle()
            try exchange.run(rounds: 3)
            try exchange.settle()
          } catch { throw HarnessError("\(kind.testDescription), \(interruption): \(error)") }
        }
        // Shown, and not tested: a machine may be busy.
        print("\(kind.testDescription): frames arrived after \(resumptions.joined(separator: ", "))")
      }
    }

    /// Two guests of a kind that send to each other.
    private final class Exchange {
      private let lab: Lab
      private let guests: [ResumingGuest]
      private let pairs: Int
      private var epoch: UInt8 = 0

      init(_ lab: Lab, _ kind: Kind) throws {
        self.lab = lab
        pairs = kind.pairs
        guests = try (0..<2).map { number in
          let port = "vm\(number)"
          try lab.addVhostPort(port, role: kind.role)
          return try ResumingGuest(
            port, at: lab.socket(port), kind.role, kind.features, pairs: kind.pairs, number: UInt8(number))
        }
        for guest in guests { try guest.connect() }
      }

      /// The first guest, the switch, or both go and come back, and are connected.
      /// - Returns: when the last of them was up, though not connected.
      func interrupt(_ interruption: Interruption) throws -> Double {
        let (guest, other) = (guests[0], guests[1])
        switch interruption {
        case .socketDropped:
          guest.drop()
        case .frontEndKilled:
          guest.die()
          try guest.boot()
        case .switchKilled:
          killSwitch()
          try lab.startSwitch()
        case .bothRestartedSwitchFirst:
          guest.die()
          killSwitch()
          try lab.startSwitch()
          try guest.boot()
        case .bothRestartedFrontEndFirst:
          killSwitch()
          guest.die()
          try guest.boot()
          try lab.startSwitch()
        }
        let up = now()
        if !other.isConnected { try other.connect() }
        try guest.connect()
        return up
      }

      /// Waits until a frame has come each way.
      func resume() throws {
        epoch += 1
        var missing: Set<Int> = [0, 1]
        try eventually("frames arrive at guests \(missing)", pause: 200) {
          for (index, guest) in guests.enumerated() {
            _ = guest.send(.init(epoch: epoch, pair: 0, number: 0))
            if guest.receive().contains(where: { $0.epoch == epoch }) { missing.remove(index) }
          }
          return missing.isEmpty
        }
      }

      private func killSwitch() {
        lab.switchd?.kill()
        for guest in guests { guest.drop() }
      }

      /// Each end sends more by each of its pairs than the ring is long, `rounds` times over; all of it has to arrive.
      func run(rounds: Int) throws {
        epoch += 1
        try awaitLinks()
        let count = rounds * ResumingGuest.ringSize
        var sent = guests.map { _ in [Int](repeating: 0, count: pairs) }
        var arrived = sent
        try eventually("all \(count) frames arrive by each queue; \(arrived) did", pause: 200) {
          for (index, guest) in guests.enumerated() {
            for pair in 0..<pairs {
              // No more under way than the other end has room for.
              while sent[index][pair] < count, sent[index][pair] - arrived[index][pair] < 8,
                guest.send(.init(epoch: epoch, pair: UInt8(pair), number: UInt16(sent[index][pair])))
              {
                sent[index][pair] += 1
              }
            }
            // What the other end has sent. Frames of an earlier epoch may come late, or twice.
            for label in guest.receive() where label.epoch == epoch {
              let expected = arrived[1 - index][Int(label.pair)]
              guard Int(label.number) == expected else {
                throw HarnessError(
                  "\(guest.port) got frame \(label.number) instead of \(expected) of pair \(label.pair)")
              }
              arrived[1 - index][Int(label.pair)] += 1
            }
          }
          return arrived.allSatisfy { $0.allSatisfy { $0 == count } }
        }
      }

      /// Frames are offered, and not waited for.
      func leaveUnderWay() {
        epoch += 1
        for guest in guests {
          for pair in 0..<pairs {
            for number in 0..<40 {
              _ = guest.send(.init(epoch: epoch, pair: UInt8(pair), number: UInt16(number)))
            }
          }
        }
      }

      /// Waits until nothing is under way.
      func settle() throws {
        for guest in guests {
          try eventually("\(guest.port) has all its buffers back") {
            for guest in guests { _ = guest.receive() }
            return guest.hasAllBuffers
          }
        }
      }

      private func awaitLinks() throws {
        for guest in guests {
          try eventually("\(guest.port) is up", within: 5) {
            try lab.interface(guest.port, "link_state") == "up"
          }
        }
      }
    }
  }
}
