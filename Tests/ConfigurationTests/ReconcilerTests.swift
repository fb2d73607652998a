import Datapath
import Linux
import Packet
import Ports
import Testing

@testable import Configuration

@Suite struct ReconcilerTests {
  let loop: EventLoop
  let datapath = FakeDatapath()
  let ports = FakePorts()
  let reconciler: Reconciler

  init() throws {
    loop = try EventLoop()
    reconciler = Reconciler(loop, datapath, ports, retryPause: 1...4)
  }

  func apply(_ wanted: SwitchRows) {
    reconciler.apply(judge(wanted))
    #expect(datapath.violations == [])
  }

  @Test func aDeviceMovesBetweenBridgesAtOnce() {
    apply(rows(bridge("br0", [port("eth1")]), bridge("br1")))
    apply(rows(bridge("br0"), bridge("br1", [port("eth1")])))
    #expect(datapath.picture.ports["eth1"]?.bridge == "br1")
    #expect(datapath.commands.suffix(2) == ["removePort eth1", "addPort eth1"])
  }

  @Test func aBridgeIsReplacedByAnother() {
    apply(rows(bridge("br0", [port("eth1")])))
    apply(rows(bridge("a", [port("eth1")])))
    #expect(
      datapath.commands.suffix(6) == [
        "removePort br0", "removePort eth1", "removeBridge br0", "addBridge a", "addPort a", "addPort eth1",
      ])
  }

  @Test func vlansAndBridgeSettingsChangeInPlace() {
    apply(rows(bridge("br0", [port("t", "tap", tag: 1)])))
    let before = datapath.commands.count
    apply(rows(bridge("br0", [port("t", "tap", tag: 2)], ["mac-aging-time": "60"])))
    #expect(datapath.commands[before...].sorted() == ["configureBridge br0", "setVLAN t"])
    #expect(datapath.picture.bridges["br0"]?.macAgingTime == 60)
  }

  @Test func optionsChangeInPlaceWhereThePortCan() {
    ports.inflexible = ["stiff"]
    ports.refusingOptions = ["contrary"]
    let names = ["stiff", "contrary", "supple"]
    apply(rows(bridge("br0", names.map { port($0, "tap") })))
    let before = names.map { datapath.port(named: $0) }
    apply(rows(bridge("br0", names.map { port($0, "tap", options: ["a": "1"]) })))
    let after = names.map { datapath.port(named: $0) }
    #expect(before[0] !== after[0] && before[0]?.isClosed == true)
    #expect(before[1] !== after[1] && before[1]?.isClosed == true)
    #expect(before[2] === after[2] && after[2]?.reconfigurations == 1)
    for port in after { #expect(port?.configuration.options == ["a": "1"]) }
  }

  @Test func anotherTypeIsAnotherPortWithTheSameNumber() {
    apply(rows(bridge("br0", [port("a", "tap"), port("t", "tap")])))
    let number = reconciler.condition(of: "t")?.number
    apply(rows(bridge("br0", [port("a", "tap"), port("t", "vhost-user")])))
    #expect(datapath.picture.ports["t"]?.configuration.kind == .vhostUser)
    #expect(reconciler.condition(of: "t")?.number == number)
  }

  @Test func aFailedPortIsTriedAgainUntilItWorks() {
    ports.failures["eth1"] = "there is no network device eth1"
    var changes = 0
    reconciler.onChange = { _ in changes += 1 }
    apply(rows(bridge("br0", [port("eth1"), port("t", "tap")])))
    #expect(reconciler.condition(of: "eth1")?.error == "there is no network device eth1")
    #expect(reconciler.condition(of: "eth1")?.number == nil)
    #expect(reconciler.condition(of: "t")?.error == nil)
    #expect(loop.run(atMost: 5000) { changes >= 3 })
    #expect(reconciler.condition(of: "eth1")?.error != nil)
    ports.failures = [:]
    #expect(loop.run(atMost: 5000) { self.reconciler.condition(of: "eth1")?.number != nil })
    #expect(datapath.violations == [])
  }

  @Test func aFailedPortIsTriedAtOnceWhenSomethingIsFreed() {
    let slow = Reconciler(loop, datapath, ports, retryPause: 3_600_000...3_600_000)
    ports.failures["vm1"] = "the socket is in use"
    slow.apply(judge(rows(bridge("br0", [port("other", "tap"), port("vm1", "vhost-user")]))))
    #expect(slow.condition(of: "vm1")?.error == "the socket is in use")
    ports.failures = [:]
    slow.apply(judge(rows(bridge("br0", [port("vm1", "vhost-user")]))))
    #expect(slow.condition(of: "vm1")?.error == nil)
  }

  @Test func retryNamesItsInterfaces() {
    let slow = Reconciler(loop, datapath, ports, retryPause: 3_600_000...3_600_000)
    ports.failures = ["eth1": "absent", "eth2": "absent"]
    slow.apply(judge(rows(bridge("br0", [port("eth1"), port("eth2")]))))
    ports.failures = [:]
    slow.retry(["eth2"])
    #expect(slow.condition(of: "eth1")?.error == "absent")
    #expect(slow.condition(of: "eth2")?.number != nil)
  }

  @Test func theEndRemovesEverything() {
    ports.failures["eth9"] = "absent"
    apply(rows(bridge("br0", [port("eth1"), port("eth9")]), bridge("br1", [port("t", "tap")])))
    reconciler.removeAll()
    #expect(datapath.picture == FakeDatapath.Picture())
    #expect(ports.made.filter { !$0.isClosed }.isEmpty)
  }

  @Test func pollThreadsFollowTheirMask() {
    var wanted = rows(bridge("br0"))
    wanted.otherConfig = ["pmd-cpu-mask": "3"]
    apply(wanted)
    #expect(datapath.poll.cpus == [0, 1])
    apply(rows(bridge("br0")))
    #expect(datapath.poll.cpus == [])
  }
}
