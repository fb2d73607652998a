import Testing

@testable import Flow

@Suite struct GroupTableTests {
  private static func bucket(_ id: UInt32, _ actions: Action..., port: UInt16? = nil)
    -> GroupDescription.Bucket
  {
    GroupDescription.Bucket(id: id, watchPort: port.map { PortNumber($0) }, actions: actions)
  }

  private static func group(_ id: UInt32, _ buckets: GroupDescription.Bucket...) -> GroupDescription {
    GroupDescription(id: id, kind: .all, buckets: buckets)
  }

  @Test func `Deleting a group deletes the flows that use it`() throws {
    let fixture = PipelineFixture()
    try fixture.pipeline.addGroup(Self.group(1, Self.bucket(0, .output(PortNumber(1)))))
    try fixture.pipeline.addGroup(Self.group(2))
    try fixture.add(FlowDescription(priority: 1, actions: [.group(1)]))
    try fixture.add(FlowDescription(priority: 2, actions: [.writeActions([.group(1)])]))
    try fixture.add(FlowDescription(priority: 3, actions: [.group(2)]))
    try fixture.add(FlowDescription(priority: 4, actions: [.output(PortNumber(1))]))
    // One that no longer uses it stays.
    try fixture.add(FlowDescription(priority: 5, actions: [.group(1)]))
    try fixture.pipeline.apply([
      FlowModification(.modifyStrict, FlowDescription(priority: 5, actions: [.output(PortNumber(1))]))
    ])
    var filter = FlowModification(.delete, FlowDescription())
    filter.outputGroup = 1
    #expect(fixture.pipeline.flows(filter).map(\.priority) == [2, 1])
    #expect(try fixture.publishes { try fixture.pipeline.deleteGroup(1) })
    #expect(fixture.pipeline.flows().map(\.priority) == [5, 4, 3])
    #expect(fixture.pipeline.active.group(1) == nil)
    #expect(try !fixture.publishes { try fixture.pipeline.deleteGroup(1) })
    try fixture.pipeline.deleteGroup(nil)
    #expect(fixture.pipeline.groups.isEmpty)
    #expect(fixture.pipeline.flows().map(\.priority) == [5, 4])
    fixture.expectSidesAlike()
  }

  @Test func `Groups that lead to themselves or nowhere are refused`() throws {
    let fixture = PipelineFixture()
    let pipeline = try #require(fixture.pipeline)
    try pipeline.addGroup(Self.group(1))
    try pipeline.addGroup(Self.group(2, Self.bucket(0, .group(1))))
    try pipeline.addGroup(Self.group(3, Self.bucket(0, .clone([.group(2)]))))
    let refused = [
      Self.group(1, Self.bucket(0, .group(3))), Self.group(1, Self.bucket(0, .group(1))),
      Self.group(1, Self.bucket(0, .group(9))),
    ]
    for group in refused { #expect(throws: FlowError.self) { try pipeline.modifyGroup(group) } }
    #expect(throws: FlowError.self) { try pipeline.insertBuckets([Self.bucket(0, .group(2))], into: 1) }
    #expect(throws: FlowError.self) { try pipeline.addGroup(Self.group(1)) }
    #expect(throws: FlowError.self) { try pipeline.deleteGroup(2) }
    #expect(throws: FlowError.self) { try pipeline.modifyGroup(Self.group(8)) }
    #expect(pipeline.groups.map(\.description.buckets.count) == [0, 1, 1])
    try pipeline.modifyGroup(Self.group(8), mayCreate: true)
    try pipeline.deleteGroup(3)
    try pipeline.deleteGroup(2)
    fixture.expectSidesAlike()
  }

  @Test(arguments: [
    GroupDescription(id: 0xFFFF_FF01, kind: .all),
    GroupDescription(id: 1, kind: .indirect),
    GroupDescription(id: 1, kind: .indirect, buckets: [bucket(0), bucket(1)]),
    GroupDescription(id: 1, kind: .all, buckets: [bucket(1), bucket(1)]),
    GroupDescription(id: 1, kind: .fastFailover, buckets: [bucket(1)]),
    GroupDescription(id: 1, kind: .all, buckets: [bucket(1, port: 1)]),
    GroupDescription(id: 1, kind: .all, selectionMethod: "hash"),
    GroupDescription(id: 1, kind: .select, selectionMethod: "dice"),
    GroupDescription(id: 1, kind: .all, buckets: [bucket(1, .gotoTable(3))]),
    GroupDescription(id: 1, kind: .all, buckets: [bucket(1, .output(.none))]),
    GroupDescription(id: 1, kind: .all, buckets: [bucket(1, .meter(4))]),
    GroupDescription(
      id: 1, kind: .all, buckets: [bucket(1, .setField(.conjunctionID, value: 1, mask: .max))]),
  ])
  func `A group that makes no sense is refused`(group: GroupDescription) {
    let fixture = PipelineFixture()
    #expect(throws: FlowError.self) { try fixture.pipeline.addGroup(group) }
    #expect(fixture.pipeline.groups.isEmpty)
  }

  @Test func `Buckets come and go in their places, and the others keep their counts`() throws {
    let fixture = PipelineFixture()
    let pipeline = try #require(fixture.pipeline)
    try pipeline.addGroup(Self.group(1, Self.bucket(10), Self.bucket(20)))
    let old = try #require(pipeline.active.group(1))
    old.bucketCounters[1].add(packets: 7, bytes: 7, at: 1)
    old.counters.add(packets: 9, bytes: 9, at: 1)
    try pipeline.insertBuckets([Self.bucket(1)], into: 1, at: .first)
    try pipeline.insertBuckets([Self.bucket(30)], into: 1, at: .last)
    try pipeline.insertBuckets([Self.bucket(15)], into: 1, at: .after(10))
    try pipeline.insertBuckets([Self.bucket(29)], into: 1, at: .before(30))
    let new = try #require(pipeline.active.group(1))
    #expect(new.description.buckets.map(\.id) == [1, 10, 15, 20, 29, 30])
    #expect(new.bucketCounters.map(\.packets) == [0, 0, 0, 7, 0, 0])
    #expect(new.counters.packets == 9)
    #expect(throws: FlowError.self) { try pipeline.insertBuckets([Self.bucket(40)], into: 1, at: .after(99)) }
    #expect(throws: FlowError.self) { try pipeline.insertBuckets([Self.bucket(10)], into: 1) }
    #expect(throws: FlowError.self) { try pipeline.removeBuckets(99, from: 1) }
    #expect(throws: FlowError.self) { try pipeline.removeBuckets(1, from: 2) }
    try pipeline.removeBuckets(20, from: 1)
    #expect(pipeline.active.group(1)?.description.buckets.map(\.id) == [1, 10, 15, 29, 30])
    try pipeline.removeBuckets(nil, from: 1)
    #expect(pipeline.active.group(1)?.description.buckets.isEmpty == true)
    fixture.expectSidesAlike()
  }

  @Test func `Deleting a meter deletes the flows that use it`() throws {
    let fixture = PipelineFixture()
    let pipeline = try #require(fixture.pipeline)
    let meter = MeterDescription(id: 1, bands: [.init(rate: 10)])
    try pipeline.addMeter(meter)
    try pipeline.addMeter(MeterDescription(id: 2, bands: [.init(rate: 10)]))
    #expect(throws: FlowError.self) { try pipeline.addMeter(meter) }
    #expect(throws: FlowError.self) {
      try pipeline.modifyMeter(MeterDescription(id: 3, bands: [.init(rate: 1)]))
    }
    for bad in [
      MeterDescription(id: 0, bands: [.init(rate: 1)]),
      MeterDescription(id: 0xFFFF_0001, bands: [.init(rate: 1)]),
      MeterDescription(id: 9), MeterDescription(id: 9, bands: [.init(rate: 0)]),
    ] {
      #expect(throws: FlowError.self) { try pipeline.addMeter(bad) }
    }
    #expect(try !fixture.publishes { try pipeline.modifyMeter(meter) })
    try fixture.add(FlowDescription(priority: 1, actions: [.meter(1), .output(PortNumber(1))]))
    try fixture.add(FlowDescription(priority: 2, actions: [.meter(2)]))
    try pipeline.addGroup(Self.group(1, Self.bucket(0, .meter(2))))
    #expect(throws: FlowError.self) { try pipeline.deleteMeter(2) }
    try pipeline.deleteMeter(1)
    #expect(pipeline.flows().map(\.priority) == [2])
    #expect(throws: FlowError.self) { try pipeline.deleteMeter(nil) }
    try pipeline.deleteGroup(nil)
    try pipeline.deleteMeter(nil)
    #expect(pipeline.meters.isEmpty && pipeline.flows().isEmpty)
    fixture.expectSidesAlike()
  }
}
