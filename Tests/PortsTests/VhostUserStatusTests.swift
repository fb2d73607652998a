import Testing
import VhostUser
import Virtio

@testable import Ports

@Suite struct VhostUserStatusTests {
  private func facts(_ kind: PortConfiguration.Kind = .vhostUser) throws -> VhostUserStatus.Facts {
    let configuration = PortConfiguration(
      name: "vm1", kind: kind, options: ["vhost-server-path": "/run/vm1.sock"], runDirectory: "/run/test")
    return VhostUserStatus.Facts(try VhostUserOptions(configuration), mtu: 1500)
  }

  @Test func `Before any front-end came there is little to say`() throws {
    #expect(
      VhostUserStatus.details(try facts(.vhostUserClient)) == [
        "mode": "client", "socket": "/run/vm1.sock", "status": "disconnected", "polling": "adaptive",
        "mtu": "1500",
        "connects": "0", "disconnects": "0",
      ])
  }

  @Test func `A connected front-end's agreement is shown by name`() throws {
    var facts = try facts()
    facts.connects = 3
    facts.disconnects = 2
    facts.lastDisconnectReason = "the front-end closed the connection"
    facts.changed = 1_769_860_800
    var session = VhostUserStatus.SessionFacts()
    session.features = [.version1, .packedRing, .checksum, .accessPlatform, .logAll]
    session.protocolFeatures = [.multiqueue, .status]
    session.rings = [(0, 256), (1, 1024), (4, 128)]
    session.regions = [1 << 30, 4096]
    facts.session = session
    #expect(
      VhostUserStatus.details(facts) == [
        "mode": "server", "socket": "/run/test/vm1", "status": "connected", "polling": "adaptive",
        "mtu": "1500",
        "connects": "3", "disconnects": "2",
        "last_disconnect_reason": "the front-end closed the connection",
        "connected_since": "2026-01-31T12:00:00Z",
        "features": "0x0000000704000001",
        "feature_names": "csum,log_all,version_1,iommu_platform,packed", "protocol_features": "mq,status",
        "ring_layout": "packed", "dirty_logging": "true", "viommu": "true",
        "memory_bytes": "1073745920", "memory_regions": "2",
        "num_of_vrings": "3", "queue_pairs": "2",
        "vring_0_size": "256", "vring_1_size": "1024", "vring_4_size": "128",
      ])
  }

  @Test func `A front-end that has agreed on nothing yet is connected all the same`() throws {
    var facts = try facts()
    facts.session = VhostUserStatus.SessionFacts()
    let details = VhostUserStatus.details(facts)
    #expect(details["status"] == "connected" && details["features"] == "0x0000000000000000")
    #expect(details["feature_names"] == "" && details["num_of_vrings"] == "0")
    #expect(details["ring_layout"] == "split" && details["memory_bytes"] == "0")
  }

  @Test func `After a disconnect there is when, and why`() throws {
    var facts = try facts()
    facts.changed = 0
    facts.lastDisconnectReason = "it lied"
    let details = VhostUserStatus.details(facts)
    #expect(details["disconnected_since"] == "1970-01-01T00:00:00Z" && details["connected_since"] == nil)
    #expect(details["last_disconnect_reason"] == "it lied" && details["features"] == nil)
  }

  @Test func `All 256 rings have their sizes, and there is nothing beyond`() throws {
    var facts = try facts()
    var session = VhostUserStatus.SessionFacts()
    session.rings = (0..<256).map { ($0, 64) }
    facts.session = session
    let details = VhostUserStatus.details(facts)
    #expect(details["queue_pairs"] == "128" && details["vring_255_size"] == "64")
    #expect(details.keys.count { $0.hasPrefix("vring_") } == 256)
  }
}
