import JSONRPC
import OVSDB
import OpenVSwitchRows
import Testing

/// Rows as operations of a transaction.
@Suite struct TransactionTests {
  private let schema = SchemaTests.schema

  @Test func `Only what was assigned is written`() {
    var transaction = TransactionBuilder()
    var changes = InterfaceRow(uuid: .zero)
    #expect(transaction.update(changes, schema) == nil && transaction.isEmpty)
    changes.ofport = 4
    changes.error = nil
    #expect(transaction.update(changes, schema) == 0)
    #expect(transaction.operations[0]["op"] == "update" && transaction.operations[0]["table"] == "Interface")
    #expect(transaction.operations[0]["row"] == ["ofport": 4, "error": ["set", []]])
  }

  @Test func `Only what differs remains to be written`() {
    var current = InterfaceRow(uuid: .zero)
    current.ofport = 4
    current.name = "eth0"
    var wanted = InterfaceRow(uuid: .zero)
    wanted.ofport = 4
    wanted.error = nil
    #expect(wanted.differences(from: current).columns.isEmpty)
    wanted.error = "no"
    wanted.mtu = 1500
    #expect(wanted.differences(from: current).columns == ["error": Datum("no"), "mtu": Datum(Int64(1500))])
  }

  @Test func `Inserted rows refer to each other`() throws {
    var transaction = TransactionBuilder()
    var interface = InterfaceRow()
    interface.name = "eth0"
    var port = PortRow()
    port.name = "eth0"
    port.interfaces = [interface.reference]
    #expect(transaction.insert(interface, schema) == 0 && transaction.insert(port, schema) == 1)
    let name = try #require(transaction.operations[0]["uuid-name"])
    #expect(transaction.operations[1]["row"] == ["name": "eth0", "interfaces": ["named-uuid", name]])
  }

  /// An older server: it has neither the table Flow_Table nor most columns.
  @Test func `What the server's schema lacks is left out`() {
    let name = ColumnSchema("name", ColumnType(key: BaseType(.string)))
    let old = DatabaseSchema(
      name: "Open_vSwitch", version: "1.0.0", tables: [TableSchema(name: "Interface", columns: [name])])
    var transaction = TransactionBuilder()
    var interface = InterfaceRow(uuid: .zero)
    interface.ofport = 3
    #expect(transaction.update(interface, old) == nil)
    #expect(transaction.insert(FlowTableRow(), old) == nil)
    #expect(transaction.expectEmpty(BridgeRow.self, old) == nil && transaction.isEmpty)
    interface.name = "eth0"
    #expect(transaction.insert(interface, old) == 0)
    #expect(transaction.operations[0]["row"] == ["name": "eth0"])
    #expect(transaction.expectEmpty(InterfaceRow.self, old) == 1)
  }

  @Test func `A selection names table and columns as the schema does`() {
    let (table, columns) = OpenVSwitchRow.selecting(.nextCfg, .ifaceTypes)
    #expect(table == "Open_vSwitch" && columns == ["next_cfg", "iface_types"])
  }

  @Test func `A replica gives rows by reference`() {
    let replica = Replica(schema: schema, monitored: ["Port": ["name"]])
    #expect(replica.row(RowReference<PortRow>(.zero)) == nil)
    #expect(replica.rows(PortRow.self).isEmpty && replica.onlyRow(OpenVSwitchRow.self) == nil)
  }
}
