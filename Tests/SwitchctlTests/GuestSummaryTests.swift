import Testing

@testable import SwitchctlCommands

/// What `show` makes of a vhost-user port's status.
@Suite struct GuestSummaryTests {
  private let base = [
    "mode": "server", "socket": "/run/switchd/vm1", "connects": "0", "status": "disconnected",
  ]
  private func lines(_ more: [String: String]) -> [String] { GuestSummary.lines(base.merging(more) { $1 }) }

  @Test func `Other interfaces have no guest`() {
    #expect(GuestSummary.lines([:]) == [])
    #expect(GuestSummary.lines(["driver_name": "veth"]) == [])
    // Open vSwitch's own status of such a port.
    #expect(GuestSummary.lines(["mode": "server", "socket": "/x", "status": "connected"]) == [])
  }

  @Test func `Nobody has come yet`() {
    #expect(lines([:]) == ["guest: none yet (server, /run/switchd/vm1)"])
  }

  @Test func `One that is gone is said to be, and why`() {
    #expect(
      lines([
        "mode": "client", "connects": "2", "disconnected_since": "2026-01-31T12:00:00Z",
        "last_disconnect_reason": "the front-end closed the connection",
      ]) == [
        "guest: disconnected since 2026-01-31T12:00:00Z: the front-end closed the connection "
          + "(client, /run/switchd/vm1), connects: 2"
      ])
  }

  @Test func `A connected one has rings and features, a family of which is one`() {
    let status = [
      "status": "connected", "connects": "1", "connected_since": "2026-01-31T12:00:00Z",
      "feature_names":
        "csum,guest_csum,guest_tso4,guest_tso6,host_tso4,mrg_rxbuf,event_idx,version_1,packed,host_uso",
      "ring_layout": "packed", "queue_pairs": "2", "num_of_vrings": "4", "vring_0_size": "256",
      "vring_1_size": "1024", "vring_2_size": "512", "vring_3_size": "512",
    ]
    #expect(
      lines(status) == [
        "guest: connected since 2026-01-31T12:00:00Z (server, /run/switchd/vm1)",
        "rings: packed, 2 queue pairs, 256 to 1024 entries; csum, tso, mrg_rxbuf, event_idx, uso",
      ])
  }

  @Test func `It came back after something`() {
    #expect(
      lines([
        "status": "connected", "connects": "7", "connected_since": "2026-01-31T12:00:00Z",
        "last_disconnect_reason": "it lied", "feature_names": "csum", "ring_layout": "split",
        "queue_pairs": "0",
      ]) == [
        "guest: connected since 2026-01-31T12:00:00Z (server, /run/switchd/vm1), connects: 7, before: it lied",
        "rings: split, none in use; csum",
      ])
  }

  @Test func `Nothing in the database commands the terminal`() {
    #expect(lines(["socket": "/run/\u{1B}[2Jx\ny"]) == ["guest: none yet (server, /run/?[2Jx?y)"])
  }
}
