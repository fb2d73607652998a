import Testing

@testable import Flow

@Suite struct FlowTablesTests {
  @Test func `A new pipeline has the one flow NORMAL`() {
    let pipeline = FlowPipeline(startsWithNormal: true, clock: { 0 }, publish: { _ in })
    #expect(pipeline.active.isNormalOnly)
    #expect(pipeline.flows().count == 1)
  }
}
