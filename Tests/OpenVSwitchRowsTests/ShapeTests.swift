import OVSDB
import OpenVSwitchRows
import Testing

/// Every shape of a column: written it is what the schema allows, and read back what was written.
@Suite struct ShapeTests {
  private let uuids = [UUID(high: 1, low: 2), UUID(high: 3, low: 4)]

  @Test func `Exactly one atom`() throws {
    try roundTrip(\InterfaceRow.name, .name, "eth0", Datum("eth0"))
    try roundTrip(\OpenVSwitchRow.nextCfg, .nextCfg, .max, Datum(Int64.max))
    try roundTrip(\PortRow.protected, .protected, true, Datum(true))
    let reference = RowReference<BridgeRow>(uuids[0])
    try roundTrip(\FlowSampleCollectorSetRow.bridge, .bridge, reference, Datum(.uuid(uuids[0])))
    // The schema has none of these yet.
    #expect(Double(Datum(.real(1.5))) == 1.5 && 1.5.datum == Datum(.real(1.5)) && Double(.empty) == 0)
    #expect(Double.infinity.datum == Datum(.real(0)))
    #expect(UUID(Datum(.uuid(uuids[1]))) == uuids[1] && uuids[1].datum == Datum(.uuid(uuids[1])))
  }

  @Test func `One atom or none`() throws {
    try roundTrip(\InterfaceRow.ofport, .ofport, -1, Datum(Int64(-1)))
    try roundTrip(\InterfaceRow.error, .error, "no", Datum("no"))
    try roundTrip(\InterfaceRow.cfmFault, .cfmFault, false, Datum(false))
    try roundTrip(\PortRow.qos, .qos, RowReference(uuids[0]), Datum(.uuid(uuids[0])))
    try roundTrip(\PortRow.vlanMode, .vlanMode, .nativeUntagged, Datum("native-untagged"))
    try roundTrip(\InterfaceRow.error, .error, nil, .empty)
    try roundTrip(\PortRow.qos, .qos, nil, .empty)
    try roundTrip(\PortRow.vlanMode, .vlanMode, nil, .empty)
  }

  @Test func `Sets`() throws {
    try roundTrip(\PortRow.trunks, .trunks, [1, 5], Datum([.integer(5), .integer(1)]))
    try roundTrip(\OpenVSwitchRow.ifaceTypes, .ifaceTypes, ["a", "b"], Datum(strings: ["a", "b"]))
    try roundTrip(\BridgeRow.ports, .ports, uuids.map { RowReference($0) }, Datum(uuids: uuids))
    try roundTrip(\BridgeRow.ports, .ports, [], .empty)
    var port = PortRow()
    port.trunks = [3, 1, 3]
    #expect(port.trunks == [1, 3])
  }

  @Test func `Maps`() throws {
    try roundTrip(\InterfaceRow.options, .options, ["a": "1", "b": ""], Datum(["a": "1", "b": ""]))
    try roundTrip(\InterfaceRow.options, .options, [:], .empty)
    try roundTrip(
      \InterfaceRow.statistics, .statistics, ["rx_bytes": 7],
      Datum(map: [(.string("rx_bytes"), .integer(7))]))
    try roundTrip(\AutoAttachRow.mappings, .mappings, [9: 5], Datum(map: [(.integer(9), .integer(5))]))
    try roundTrip(
      \BridgeRow.flowTables, .flowTables, [4: RowReference(uuids[1])],
      Datum(map: [(.integer(4), .uuid(uuids[1]))]))
    try roundTrip(
      \OpenVSwitchRow.datapaths, .datapaths, ["netdev": RowReference(uuids[1])],
      Datum(map: [(.string("netdev"), .uuid(uuids[1]))]))
    try roundTrip(
      \CTTimeoutPolicyRow.timeouts, .timeouts, [.tcpSynSent2: 30, .icmpReply: 1],
      Datum(map: [(.string("tcp_syn_sent2"), .integer(30)), (.string("icmp_reply"), .integer(1))]))
  }

  @Test func `A string that only another schema allows is kept`() {
    let row = BridgeRow(uuid: .zero, columns: ["fail_mode": Datum("paranoid")])
    #expect(row.failMode == .unknown("paranoid") && row.failMode?.text == "paranoid")
    #expect(BridgeRow.FailMode("secure") == .secure)
    var copy = BridgeRow(uuid: .zero)
    copy.failMode = row.failMode
    #expect(copy == row)
    let timeouts = Datum(map: [(.string("sctp"), .integer(3))])
    let policy = CTTimeoutPolicyRow(uuid: .zero, columns: ["timeouts": timeouts])
    #expect(policy.timeouts == [.unknown("sctp"): 3])
  }

  /// Assigns the property of a new row, looks at what travels, and reads it in a row that got it.
  private func roundTrip<Row: TableRow, Value: ColumnValue & Equatable>(
    _ property: WritableKeyPath<Row, Value>, _ column: Row.Column, _ value: Value, _ datum: Datum,
    _ location: SourceLocation = #_sourceLocation
  ) throws {
    var written = Row()
    written[keyPath: property] = value
    #expect(written.columns == [column.rawValue: datum], sourceLocation: location)
    #expect(written[datum: column] == datum, sourceLocation: location)
    let schema = try #require(SchemaTests.schema[table: Row.table]?[column: column.rawValue])
    #expect(throws: Never.self, sourceLocation: location) { try schema.type.check(datum) }
    let read = Row(ReplicaRow(uuid: written.uuid, columns: [column.rawValue: datum]))
    #expect(read[keyPath: property] == value, sourceLocation: location)
  }
}
