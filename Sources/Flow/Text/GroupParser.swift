// Groups as text: `group_id=1,type=select,bucket=weight:10,output:1,bucket=output:2`. A bucket goes on to the next one;
// what is none of its options is an action of its.

/// Where buckets are put, or which are taken away (OpenFlow 1.5 §7.3.4.3).
public enum BucketPosition: Hashable, Sendable {
  case first, last, all
  /// Behind the bucket with this id, or just that one.
  case id(UInt32)
}

/// The argument of `insert-buckets` or `remove-buckets`.
public struct BucketModification: Hashable, Sendable {
  public var group: UInt32
  public var position: BucketPosition
  /// Those without `bucket_id` have the id `unnumbered`.
  public var buckets: [GroupDescription.Bucket]

  /// No id yet: the group gives its bucket the lowest one that is free.
  public static let unnumbered = UInt32.max

  /// Buckets that all have ids: those without get the lowest that neither these nor `others` have.
  public static func numbered(
    _ buckets: [GroupDescription.Bucket], beside others: [GroupDescription.Bucket] = []
  ) -> [GroupDescription.Bucket] {
    var taken = Set((others + buckets).map(\.id))
    var next: UInt32 = 0
    return buckets.map { bucket in
      guard bucket.id == unnumbered else { return bucket }
      while !taken.insert(next).inserted { next += 1 }
      var bucket = bucket
      bucket.id = next
      return bucket
    }
  }
}

extension FlowParser {
  /// Reads the GROUP argument of `add-group` and `mod-group`. Buckets without `bucket_id` get the lowest ids that are
  /// free.
  ///
  /// - Parameter requiresBuckets: whether a group of that kind has to have the buckets it needs to be of use.
  public func group(_ text: String, requiresBuckets: Bool) throws(FlowError) -> GroupDescription {
    var reader = GroupReader(ports: ports)
    try reader.read(try limited(text))
    guard reader.position == nil else {
      throw FlowError("command_bucket_id is for insert-buckets and remove-buckets; leave it out")
    }
    guard let id = reader.id else { throw FlowError("the group has no number; begin with group_id=NUMBER") }
    guard let kind = reader.kind else {
      throw FlowError("the group has no type; give type=all, type=select, type=indirect or type=ff")
    }
    let group = GroupDescription(
      id: id, kind: kind, buckets: BucketModification.numbered(reader.buckets),
      selectionMethod: reader.method,
      selectionParameter: reader.parameter, selectionFields: reader.fields)
    guard !reader.hasWeights || group.kind == .select else {
      throw FlowError("only buckets of select groups have a weight; leave weight out")
    }
    try group.check()
    if requiresBuckets, group.buckets.isEmpty {
      throw FlowError("group \(id) has no buckets; add bucket=ACTIONS")
    }
    return group
  }

  /// Reads the GROUP argument of `del-groups` and `dump-groups`: `group_id=N`, or `group_id=all` or nothing for all.
  ///
  /// - Returns: the group's number; nil for all.
  public func groupSelection(_ text: String) throws(FlowError) -> UInt32? {
    try selection(text, "group_id", upTo: GroupDescription.maximumID)
  }

  func selection(_ text: String, _ name: String, upTo limit: UInt32) throws(FlowError) -> UInt32? {
    var result: UInt32?
    var reader = TextReader(try limited(text))
    while let pair = reader.next() {
      guard pair.key.string == name else {
        throw FlowError("\(pair.description): give \(name)=NUMBER, or \(name)=all")
      }
      if pair.value.equals("all") || pair.value.equals("any") {
        result = nil
      } else {
        result = try ActionParser(ports: ports).number(
          pair.value, name, "a number, 0 to \(limit), or all", upTo: limit)
      }
    }
    return result
  }

  /// Reads the GROUP argument of `insert-buckets` (with buckets) or `remove-buckets` (without):
  /// `group_id=1,command_bucket_id=last,bucket=output:3`.
  public func buckets(_ text: String, requiresBuckets: Bool) throws(FlowError) -> BucketModification {
    var reader = GroupReader(ports: ports)
    try reader.read(try limited(text))
    guard let id = reader.id else { throw FlowError("the group has no number; begin with group_id=NUMBER") }
    guard reader.kind == nil, reader.method.isEmpty, reader.fields.isEmpty, reader.parameter == 0 else {
      throw FlowError(
        "a command about buckets does not change the group; leave type and selection_method out")
    }
    guard let position = reader.position else {
      throw FlowError(
        "say which buckets are meant: command_bucket_id=first, last or a bucket's id, or all to remove")
    }
    guard reader.buckets.isEmpty != requiresBuckets else {
      throw FlowError(
        requiresBuckets
          ? "there are no buckets to insert; add bucket=ACTIONS"
          : "buckets are removed by their id; leave bucket=… out")
    }
    guard !requiresBuckets || position != .all else {
      throw FlowError(
        "command_bucket_id=all is for remove-buckets; buckets are inserted first, last or behind one by its id"
      )
    }
    return BucketModification(group: id, position: position, buckets: reader.buckets)
  }
}

private struct GroupReader {
  /// Buckets of a group.
  static let maximumBuckets = 4096

  let ports: (any PortNames)?
  var id: UInt32?
  var kind: GroupDescription.Kind?
  var buckets: [GroupDescription.Bucket] = []
  var method = ""
  var parameter: UInt64 = 0
  var fields: [SubField] = []
  var position: BucketPosition?
  var hasWeights = false
  private var actions: ActionParser

  init(ports: (any PortNames)?) {
    self.ports = ports
    actions = ActionParser(ports: ports)
  }

  mutating func read(_ text: Text) throws(FlowError) {
    var reader = TextReader(text)
    while let pair = reader.next() {
      if pair.key.equals("bucket") {
        try readBuckets(text[pair.value.startIndex...])
        return
      }
      try take(pair)
    }
  }

  private mutating func take(_ pair: TextPair) throws(FlowError) {
    switch pair.key.string {
    case "group_id":
      id = try number(pair, "a number, 0 to \(GroupDescription.maximumID)", upTo: GroupDescription.maximumID)
    case "type":
      guard
        let kind = pair.value.equals("ff")
          ? .fastFailover : GroupDescription.Kind(rawValue: pair.value.string)
      else {
        throw FlowError("type=\(pair.value.quoted): give all, select, indirect or ff")
      }
      self.kind = kind
    case "selection_method": method = pair.value.string
    case "selection_method_param": parameter = try number(pair, "a number of 64 bits")
    case "fields": try readFields(pair.value)
    case "command_bucket_id":
      switch pair.value.string {
      case "first": position = .first
      case "last": position = .last
      case "all": position = .all
      default: position = .id(try number(pair, "first, last, all or a bucket's id", upTo: 0xFFFF_FF00))
      }
    default:
      throw FlowError(
        "a group has no \(pair.key.quoted); it has group_id, type, selection_method, fields and buckets")
    }
  }

  private func number<Number: FixedWidthInteger>(
    _ pair: TextPair, _ what: String, upTo limit: Number = .max
  ) throws(FlowError) -> Number {
    try actions.number(pair.value, pair.key.string, what, upTo: limit)
  }

  /// `fields(ip_src,tcp_dst=0xff)`, `fields=ip_src`
  private mutating func readFields(_ text: Text) throws(FlowError) {
    var reader = TextReader(text)
    while let pair = reader.next() {
      let field = try FieldName.find(pair.key)
      guard pair.hasValue else {
        fields.append(SubField(field, count: field.addressableWidth))
        continue
      }
      let mask = try field.value(of: pair.value, ports: ports)
      let low = mask.value.trailingZeroBitCount
      let ones = mask.value == 0 ? 0 : mask.value >> UInt128(low)
      guard mask.mask == field.wholeMask, ones != 0, ones & (ones &+ 1) == 0 else {
        throw FlowError("fields(\(pair.description)): give a mask whose ones are all beside each other")
      }
      fields.append(SubField(field, offset: low, count: ones.trailingOnes))
    }
  }

  /// The text from behind the first `bucket=` on.
  private mutating func readBuckets(_ text: Text) throws(FlowError) {
    var start = text.startIndex
    while true {
      let end = endOfBucket(text[start...])
      guard buckets.count < Self.maximumBuckets else {
        throw FlowError("the group has more than \(Self.maximumBuckets) buckets; use several groups")
      }
      buckets.append(try bucket(text[start..<end.text]))
      guard let next = end.next else { return }
      start = next
    }
  }

  /// Where the bucket that `text` begins with ends, and where the next begins.
  private func endOfBucket(_ text: Text) -> (text: Int, next: Int?) {
    var reader = TextReader(text)
    while let pair = reader.next() {
      if pair.key.equals("bucket") { return (pair.key.startIndex, pair.value.startIndex) }
    }
    return (text.endIndex, nil)
  }

  private mutating func bucket(_ text: Text) throws(FlowError) -> GroupDescription.Bucket {
    var bucket = GroupDescription.Bucket(id: BucketModification.unnumbered)
    var reader = TextReader(text)
    var actionText: Text?
    while let pair = reader.next() {
      switch pair.key.string {
      case "bucket_id": bucket.id = try number(pair, "a number, 0 to 4294967040", upTo: 0xFFFF_FF00)
      case "weight":
        bucket.weight = try number(pair, "a weight, 0 to 65535")
        hasWeights = true
      case "watch_port":
        guard let port = TextPort.parse(pair.value, ports) else {
          throw FlowError(
            "watch_port:\(pair.value.quoted): there is no such port; give its number or its name")
        }
        bucket.watchPort = port == .none ? nil : port
      case "watch_group":
        bucket.watchGroup = try number(pair, "a group's number", upTo: GroupDescription.maximumID)
      case "actions", "action": actionText = text[pair.value.startIndex...]
      default: actionText = text[pair.key.startIndex...]
      }
      if actionText != nil { break }
    }
    guard let actionText, !actionText.trimmed.isEmpty else {
      throw FlowError("a bucket has no actions; write bucket=ACTIONS, or bucket=drop")
    }
    bucket.actions = try actions.list(actionText)
    return bucket
  }
}

extension UInt128 {
  fileprivate var trailingOnes: Int { (~self).trailingZeroBitCount }
}
