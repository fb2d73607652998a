// Groups
// ======
//
// A bucket's actions are a set, executed in the order of one, and what they change is undone behind them
// (OpenFlow 1.5 §5.10). Whether a bucket is live depends on ports and on other groups, never on the frame.

extension Execution {
  mutating func performGroup(_ id: UInt32) {
    guard mayNest() else { return }
    outcome.dependencies |= Dependency.group(id)
    guard let group = lookup.group(id) else {
      note("there is no group \(id): the rest of this list is not executed")
      return endList()
    }
    let buckets = group.description.buckets
    let choice: Int?
    switch group.description.kind {
    case .all, .indirect:
      outcome.credits.counters.append(group.counters)
      outcome.credits.counters += group.bucketCounters
      return beginBucket(0, of: group, goesOn: true)
    case .select: choice = select(from: group.description)
    case .fastFailover: choice = firstLive(of: group.description)
    }
    guard let choice, !hasFailed else { return note("no bucket is live: nothing done") }
    outcome.credits.counters.append(group.counters)
    if choice < group.bucketCounters.count { outcome.credits.counters.append(group.bucketCounters[choice]) }
    note("bucket \(buckets[choice].id) is taken")
    beginBucket(choice, of: group, goesOn: false)
  }

  /// - Parameter goesOn: with the buckets behind it, afterwards.
  mutating func beginBucket(_ index: Int, of group: Group, goesOn: Bool) {
    let buckets = group.description.buckets
    guard index < buckets.count, spend(1 + buckets[index].actions.count) else { return }
    record(.bucket(buckets[index], index: index), below: 1)
    savedHeaders.append(headers)
    depth += 1
    let next = goesOn && index + 1 < buckets.count ? index + 1 : nil
    push(ActionSet.ordered(buckets[index].actions), ending: .bucket(group, next: next), depthBelow: 2)
  }

  // MARK: Liveness

  private mutating func firstLive(of group: GroupDescription, links: Int = 0) -> Int? {
    for (index, bucket) in group.buckets.enumerated() {
      if isLive(bucket, of: group, links: links) { return index }
      if links == 0 { note("bucket \(bucket.id) is not live") }
    }
    return nil
  }

  private mutating func isLive(_ bucket: GroupDescription.Bucket, of group: GroupDescription, links: Int)
    -> Bool
  {
    guard links < Self.maximumLinks, spend() else { return false }
    if group.kind == .select && bucket.weight == 0 { return false }
    let port = bucket.watchPort == PortNumber.none ? nil : bucket.watchPort
    if port == nil && bucket.watchGroup == nil { return true }
    if let port {
      outcome.dependencies |= Dependency.port(port)
      if lookup.port(port)?.isLive == true { return true }
    }
    guard let id = bucket.watchGroup else { return false }
    outcome.dependencies |= Dependency.group(id)
    guard let watched = lookup.group(id) else { return false }
    return firstLive(of: watched.description, links: links + 1) != nil
  }

  /// Groups that watch one another, at most.
  private static var maximumLinks: Int { 128 }

  // MARK: Selection

  /// A bucket by hash, in proportion to the weights. Frames whose bucket is dead are spread over the live ones; those
  /// of the others stay where they are.
  private mutating func select(from group: GroupDescription) -> Int? {
    let hash = hash(for: group)
    note("the hash is \(hash)")
    guard let first = Self.pick(by: hash, from: group.buckets, where: { _ in true }) else { return nil }
    if isLive(group.buckets[first], of: group, links: 0) { return first }
    note("bucket \(group.buckets[first].id) is not live")
    var live: Set<Int> = []
    for (index, bucket) in group.buckets.enumerated() where isLive(bucket, of: group, links: 0) {
      live.insert(index)
    }
    return Self.pick(by: Self.mix(hash), from: group.buckets) { live.contains($0) }
  }

  private static func pick(
    by hash: UInt64, from buckets: [GroupDescription.Bucket], where isCandidate: (Int) -> Bool
  ) -> Int? {
    let weights = buckets.indices.map { isCandidate($0) ? UInt64(buckets[$0].weight) : 0 }
    var rest = hash.multipliedFullWidth(by: weights.reduce(0, &+)).high
    for (index, weight) in weights.enumerated() where weight > 0 {
      if rest < weight { return index }
      rest -= weight
    }
    return nil
  }

  private mutating func hash(for group: GroupDescription) -> UInt64 {
    var hash = Self.mix(group.selectionParameter)
    guard group.selectionMethod == "hash", !group.selectionFields.isEmpty else {
      return hashConnection(into: hash)
    }
    for source in group.selectionFields where meets(source.field.info.prerequisite) {
      let value = read(source)
      hash = Self.mix(hash ^ UInt64(truncatingIfNeeded: value))
      hash = Self.mix(hash ^ UInt64(truncatingIfNeeded: value >> 64))
    }
    return hash
  }

  /// Of addresses, VLANs, protocol and ports, the same in both directions of a connection. All fragments of a datagram
  /// have the same hash: there the ports do not count.
  private mutating func hashConnection(into start: UInt64) -> UInt64 {
    var hash = start
    func combine(_ value: UInt64) { hash = Self.mix(hash ^ value) }
    func combine(_ one: UInt64, _ other: UInt64) { combine(Self.mix(one) &+ Self.mix(other)) }
    combine(read(.max << 16, of: FlowWord.ethernetSource), read(.max << 16, of: FlowWord.ethernetDestination))
    combine(read(0x1FFF_0000_1FFF, of: FlowWord.tags))
    combine(read(0xFFFF, of: FlowWord.inPort))
    guard meets(.ip) else { return hash }
    if meets(.ipv4) {
      let addresses = read(.max, of: FlowWord.ipv4)
      combine(addresses >> 32, addresses & 0xFFFF_FFFF)
    } else {
      for word in 0..<2 {
        combine(
          read(.max, of: FlowWord.ipv6Source + word), read(.max, of: FlowWord.ipv6Destination + word))
      }
    }
    combine(read(0xFF00, of: FlowWord.ethernetDestination))
    if read(Self.anyFragment, of: FlowWord.ethernetDestination) == 0,
      meets(.tcp) || meets(.udp) || meets(.sctp)
    {
      let ports = read(0xFFFF_FFFF << 32, of: FlowWord.transport)
      combine(ports >> 48, ports >> 32 & 0xFFFF)
    }
    return hash
  }

  /// SplitMix64's finalizer: every bit of the result depends on every bit of `value`.
  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
