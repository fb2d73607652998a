import Datapath
import OVSDB
import Packet
import Ports
import Testing

@testable import Configuration

@Suite struct ValidationTests {
  @Test func aPlainBridgeIsAccepted() throws {
    let state = judge(
      rows(bridge("br0", [port("eth1"), port("vm1", "dpdkvhostuserclient"), port("t", "tap")])))
    #expect(state.refusals.isEmpty && state.warnings.isEmpty)
    #expect(state.bridges.keys.sorted() == ["br0"])
    #expect(state.interfaces.keys.sorted() == ["br0", "eth1", "t", "vm1"])
    #expect(state.interfaces["eth1"]?.configuration.kind == .system)
    #expect(state.interfaces["vm1"]?.configuration.kind == .vhostUserClient)
    #expect(state.interfaces["br0"]?.number == .local)
  }

  @Test func theLocalPortHasTheBridgesAddress() {
    let derived = judge(rows(bridge("br0")))
    let address = derived.bridges["br0"]?.address
    #expect(derived.interfaces["br0"]?.configuration.requestedMAC == address?.description)
    #expect(address.map { $0.bits >> 40 & 3 } == 2, "locally administered, unicast")
    #expect(derived.bridges["br0"]?.datapathID.count == 16)

    let given = judge(
      rows(bridge("br0", [], ["hwaddr": "52:54:00:12:34:56", "datapath-id": "0xabc"])))
    #expect(given.interfaces["br0"]?.configuration.requestedMAC == "52:54:00:12:34:56")
    #expect(given.bridges["br0"]?.datapathID == "0000000000000abc")
  }

  @Test(arguments: [
    ("sixteen-letters-", "", "too long for a network device: 16 bytes"),
    ("a/b", "tap", "must not contain /"),
    ("..", "vhost-user", "must not contain /"),
    ("a b", "tap", "a colon or a space"),
    ("", "tap", "needs a name"),
    ("v1", "vxlan", "interface type \"vxlan\" is not one this switch has: system, tap, internal, vhost-user"),
  ])
  func badInterfacesAreRefused(name: String, type: String, reason: String) {
    let state = judge(rows(bridge("br0", [port(name, type), port("good", "tap")])))
    #expect(state.interfaces.keys.sorted() == ["br0", "good"])
    #expect(state.refusals[rowID("interface", name)]?.contains(reason) == true)
  }

  @Test func longNamesAreFineForSocketsOnly() {
    let name = "a-name-of-more-than-fifteen-letters"
    #expect(judge(rows(bridge("br0", [port(name, "vhost-user")]))).refusals.isEmpty)
    let endless = String(repeating: "x", count: 120)
    let refusals = judge(rows(bridge("br0", [port(endless, "vhost-user")]))).refusals
    #expect(refusals[rowID("interface", endless)]?.contains("107 bytes") == true)
  }

  @Test func bondsAreRefusedByName() {
    var bond = port("bond0", "tap")
    bond.interfaces = [interface("a", "tap"), interface("b", "tap")]
    let state = judge(rows(bridge("br0", [bond])))
    #expect(state.interfaces.keys.sorted() == ["br0"])
    for name in ["a", "b"] {
      #expect(state.refusals[rowID("interface", name)]?.contains("bonding is not supported") == true)
    }
  }

  @Test func oneInterfaceIsOnOneBridge() {
    let wanted = rows(bridge("br0", [port("eth1")]), bridge("br1", [port("eth1")]))
    let fresh = judge(wanted)
    #expect(fresh.interfaces["eth1"]?.bridge == "br0")
    #expect(fresh.refusals[rowID("interface", "eth1")]?.contains("already on bridge br0") == true)
    // Who has it keeps it.
    let running = judge(wanted, holding: ["eth1": "br1"])
    #expect(running.interfaces["eth1"]?.bridge == "br1")
    #expect(running.refusals[rowID("interface", "eth1")]?.contains("already on bridge br1") == true)
  }

  @Test func oneSocketHasOneInterface() {
    let path = ["vhost-server-path": "/run/test/vm1"]
    let state = judge(
      rows(bridge("br0", [port("vm1", "vhost-user"), port("vm2", "vhost-user-client", options: path)])))
    #expect(
      state.refusals[rowID("interface", "vm2")]?.contains("/run/test/vm1 is already used by interface vm1")
        == true)
  }

  @Test func vlansAreChecked() throws {
    let state = judge(
      rows(
        bridge(
          "br0",
          [
            port("access", "tap", tag: 7), port("trunk", "tap", trunks: [5, 6]),
            port("native", "tap", tag: 3, trunks: [4], mode: "native-untagged"),
            port("high", "tap", tag: 4096), port("negative", "tap", trunks: [-1]),
            port("qinq", "tap", tag: 3, mode: "dot1q-tunnel"),
          ])))
    #expect(state.interfaces["access"]?.vlan == VLANConfiguration(tag: 7))
    #expect(state.interfaces["trunk"]?.vlan == VLANConfiguration(trunks: [5, 6]))
    #expect(
      state.interfaces["native"]?.vlan == VLANConfiguration(mode: .nativeUntagged, tag: 3, trunks: [4]))
    #expect(state.refusals[rowID("interface", "high")]?.contains("VLAN 4096 is outside 0 to 4095") == true)
    #expect(state.refusals[rowID("interface", "negative")]?.contains("VLAN -1") == true)
    #expect(state.refusals[rowID("interface", "qinq")]?.contains("vlan_mode \"dot1q-tunnel\"") == true)
  }

  @Test func pollSettingsAreRead() {
    var wanted = rows(bridge("br0"))
    wanted.otherConfig = [
      "poll-idle-microseconds": "250", "pmd-rxq-isolate": "false", "pmd-auto-lb": "true",
      "pmd-auto-lb-rebal-interval": "0", "pmd-auto-lb-load-threshold": "70",
      "pmd-auto-lb-improvement-threshold": "5",
    ]
    let poll = judge(wanted).poll
    #expect(poll.idleMicroseconds == 250 && !poll.isolatesPinned && poll.balancing.isEnabled)
    #expect(poll.balancing.interval == 1 && poll.balancing.loadThreshold == 70)
    #expect(poll.balancing.improvementThreshold == 5)
    wanted.otherConfig = [
      "poll-idle-microseconds": "-1", "pmd-auto-lb": "yes", "pmd-auto-lb-load-threshold": "101",
    ]
    let refused = judge(wanted)
    #expect(refused.poll == PollSettings())
    #expect(refused.warnings.count == 3)
  }

  @Test(arguments: ["0", "0:", ":1", "a:1", "0:-1", "0:1:2", "0:99999999999999999999", "0:1;1:2"])
  func anAffinityThatMakesNoSenseIsIgnored(text: String) {
    var row = FollowedInterface(id: rowID("interface", "t"), name: "t")
    row.otherConfig = ["pmd-rxq-affinity": text]
    let (affinity, problem) = InterfaceConfiguration.affinity(row, cpus: [1])
    #expect(affinity.isEmpty)
    #expect(problem?.contains("QUEUE:CPU") == true)
  }

  @Test func anAffinityIsRead() {
    var row = FollowedInterface(id: rowID("interface", "t"), name: "t")
    row.otherConfig = ["pmd-rxq-affinity": "0:3, 1:5"]
    #expect(InterfaceConfiguration.affinity(row, cpus: [3, 5]).cpus == [0: 3, 1: 5])
    #expect(InterfaceConfiguration.affinity(row, cpus: [3, 5]).problem == nil)
    #expect(InterfaceConfiguration.affinity(row, cpus: [3]).problem?.contains("receive queue 1") == true)
  }

  @Test func badSettingsAreIgnoredWithAWarning() throws {
    let config = [
      "mac-aging-time": "soon", "mac-table-size": "100", "forward-bpdu": "true",
      "hwaddr": "01:00:00:00:00:01",
    ]
    var wanted = rows(bridge("br0", [], config))
    wanted.otherConfig = ["pmd-cpu-mask": "0x1g"]
    let state = judge(wanted)
    let settings = try #require(state.bridges["br0"]?.settings)
    #expect(settings.macAgingTime == 300 && settings.macTableSize == 100 && settings.forwardsReserved)
    #expect(state.bridges["br0"]?.warnings.count == 2)
    #expect(state.warnings.count == 3)
    #expect(state.warnings.contains { $0.contains("mac-aging-time \"soon\" is ignored") })
    #expect(state.poll == PollSettings())
  }

  @Test(arguments: [("6", [1, 2]), ("0xF0", [4, 5, 6, 7]), ("10000000000000000", [64]), ("0", [])])
  func processorMasks(mask: String, cpus: [Int]) {
    var wanted = rows()
    wanted.otherConfig = ["pmd-cpu-mask": mask]
    let state = judge(wanted)
    #expect(state.poll.cpus == cpus && state.warnings.isEmpty)
  }

  @Test func otherInterfaceColumnsAreChecked() {
    var mtu = port("mtu", "tap")
    mtu.interfaces[0].mtuRequest = 67
    var mac = port("mac", "internal")
    mac.interfaces[0].mac = "ff:ff:ff:ff:ff:ff"
    let state = judge(rows(bridge("br0", [mtu, mac])))
    #expect(state.refusals[rowID("interface", "mtu")]?.contains("mtu_request 67") == true)
    #expect(state.refusals[rowID("interface", "mac")]?.contains("not a unicast Ethernet address") == true)
  }
}
