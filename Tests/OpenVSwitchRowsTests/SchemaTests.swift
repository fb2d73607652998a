import OVSDB
import OpenVSwitchRows
import Testing

/// The rows against the schema they were written from, which OVSDB reads in its own way.
@Suite struct SchemaTests {
  static let schema: DatabaseSchema = {
    let parts = #filePath.split(separator: "/").dropLast(3)
    do { return try SchemaFile.read("/" + parts.joined(separator: "/") + "/etc/vswitch.ovsschema") } catch {
      fatalError("\(error)")
    }
  }()

  @Test func `Every table and every column is there, and nothing else`() {
    var rows: [String: [String]] = [:]
    for type in allTables { rows[type.table] = columns(type) }
    let schema = Dictionary(
      uniqueKeysWithValues: Self.schema.tables.map { ($0.name, $0.columns.map(\.name)) })
    #expect(rows == schema)
    #expect(schema.count == 19)
  }

  @Test func `A column that the server does not have reads as its default`() {
    let empty = ReplicaRow(uuid: .zero, columns: [:])
    let interface = InterfaceRow(empty)
    #expect(interface.name == "" && interface.ingressPolicingRate == 0)
    #expect(interface.ofport == nil && interface.mac == nil && interface.linkState == nil)
    #expect(interface.options == [:] && interface.statistics == [:] && interface.cfmRemoteMpids == [])
    #expect(PortRow(empty).interfaces == [] && PortRow(empty).fakeBridge == false)
    #expect(BridgeRow(empty).flowTables == [:] && BridgeRow(empty).autoAttach == nil)
    #expect(FlowSampleCollectorSetRow(empty).bridge.uuid == .zero)
  }

  /// As if a later schema had given columns other types.
  @Test func `A value of another type than the schema's does not trap`() {
    let odd = Datum(map: [(.integer(1), .boolean(true)), (.string("a"), .real(2))])
    for column in InterfaceRow.Column.allCases {
      for value in [odd, Datum([.boolean(true), .real(3)]), Datum(.uuid(.zero))] {
        let row = InterfaceRow(uuid: .zero, columns: [column.rawValue: value])
        #expect(row.name == "" && row.duplex == nil && row.options == [:])
        #expect(row.ofport == (column == .ofport ? value.integers.first : nil))
      }
    }
    let mixed = InterfaceRow(
      uuid: .zero, columns: ["cfm_remote_mpids": Datum([.string("x"), .integer(7)]), "statistics": odd])
    #expect(mixed.cfmRemoteMpids == [7] && mixed.statistics == [:])
  }

  private func columns<Row: TableRow>(_: Row.Type) -> [String] { Row.Column.allCases.map(\.rawValue) }
}
