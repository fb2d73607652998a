import Datapath
import JSONRPC
import Linux
import OVSDB
import Ports
import Testing

@testable import Configuration

/// Counters of single queues, from the port to the database and the control socket.
@Suite struct QueueStatisticTests {
  private static let sample: [(name: String, value: UInt64)] = [
    ("rx_q0_packets", 3), ("rx_q0_kicks_received", 2), ("rx_q1_packets", 5), ("rx_q1_kicks_received", 0),
    ("tx_q0_packets", 7), ("tx_q0_calls_sent", 0),
  ]

  @Test func `They stand in Interface.statistics beside those of the port`() {
    let datum = StatusColumns.statistics(
      PortStatistics(), queues: Self.sample + [("rx_q2_bytes", UInt64.max)])
    #expect(datum[.string("rx_q1_packets")] == .integer(5))
    #expect(datum[.string("rx_packets")] == .integer(0))
    // The database's integers have a sign.
    #expect(datum[.string("rx_q2_bytes")] == .integer(Int64.max))
  }

  @Test(arguments: [
    ("rx_q0_packets", "rx", 0, "packets"), ("tx_q127_calls_suppressed", "tx", 127, "calls_suppressed"),
  ])
  func `A name says direction, queue and counter`(
    name: String, direction: String, queue: Int, counter: String
  ) throws {
    let parsed = try #require(QueueTable.CounterName(name))
    #expect(parsed.direction == direction && parsed.queue == queue && parsed.counter == counter)
  }

  @Test(arguments: [
    "rx_packets", "rx_q_packets", "rx_q-1_packets", "mx_q0_packets", "rx_q0_", "rx_q0", "rx_x0_a", "",
  ])
  func `What is no queue's counter is not taken for one`(name: String) {
    #expect(QueueTable.CounterName(name) == nil)
  }

  @Test func `The table has a line for each queue, and no column of zeroes`() {
    var queues = QueueTable()
    queues.append("vm1", Self.sample)
    queues.append("vm2", [("rx_q0_packets", 1)])
    #expect(
      queues.table.text == """
        port  direction  queue  packets  kicks_received
        vm1   rx             0        3               2
        vm1   rx             1        5               0
        vm1   tx             0        7               -
        vm2   rx             0        1               -

        """)
    #expect(
      queues.table.json["headings"] == [
        "port", "direction", "queue", "packets", "kicks_received", "calls_sent",
      ])
    #expect(queues.table.json["data"]?[2] == ["vm1", "tx", 0, 7, nil, 0])
  }

  @Test func `The control socket shows all ports' queues, one port's, or says why not`() throws {
    Log.setLevel(.off)
    let loop = try EventLoop()
    let datapath = try Datapath(loop: loop)
    defer { datapath.stop() }
    let ports = FakePorts()
    ports.failures["br0"] = "no devices in tests"
    let reconciler = Reconciler(loop, datapath, ports)
    reconciler.apply(judge(rows(bridge("br0", [port("vm1", "vhost-user"), port("vm2", "vhost-user")]))))
    for (place, port) in ports.made.filter({ $0.name != "br0" }).enumerated() {
      port.queueStatistics = [("rx_q0_packets", UInt64(place + 1))]
    }
    let command = try #require(
      RuntimeCommands(loop, datapath, reconciler).table.first { $0.name == "stats/queues" })
    let path = "/tmp/queue-statistic-test.\(UInt32.random(in: 0 ... .max)).ctl"
    let server = try ControlServer(loop, path: path, program: "switchd") {}
    defer { server.close() }
    server.add(command)
    let client = try Connection.connect(to: .unix(path: path), loop, limits: Connection.Limits())
    defer { client.close() }

    func ask(_ arguments: String...) -> String? {
      var answer: String?
      client.request(command.name, arguments.map { .string($0) }) { reply in
        switch reply {
        case .success(let json): answer = json.string
        case .failure(let error): answer = "\(error)"
        }
      }
      _ = loop.run(atMost: 20_000) { answer != nil }
      return answer
    }
    #expect(
      ask() == """
        port  direction  queue  packets
        vm1   rx             0        1
        vm2   rx             0        2

        """)
    #expect(ask("vm2")?.contains("vm1") == false && ask("vm2")?.contains("vm2") == true)
    #expect(ask("vm1", "--format=json")?.contains(#"["vm1","rx",0,1]"#) == true)
    #expect(ask("vm9")?.contains("there is no port vm9") == true)
    #expect(ask("br0")?.contains("port br0 is not set up: no devices in tests") == true)
  }
}
