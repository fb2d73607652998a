import Testing
import VhostUser
import Virtio

@testable import Ports

@Suite struct VhostUserOptionTests {
  private func options(_ options: [String: String]) throws(PortError) -> VhostUserOptions {
    try VhostUserOptions(
      PortConfiguration(name: "vm1", kind: .vhostUser, options: options, runDirectory: "/run/test"))
  }

  @Test func `Without options everything is offered, 128 queue pairs, polled as there is need`() throws {
    let options = try options([:])
    #expect(options.queuePairs == 128 && options.polling == .adaptive && !options.isAlwaysPolled)
    #expect(options.offeredFeatures() == .implemented)
    #expect(options.offeredProtocolFeatures() == .implemented)
    #expect(options.owner == nil && options.group == nil && options.mode == nil)
  }

  @Test(arguments: [
    (["queues": "4"], 4), (["n_rxq": "2", "n_txq": "8"], 2), (["n_txq": "1"], 1), (["queues": ""], 128),
    (["queues": "128", "n_rxq": "3"], 3), (["queues": "8", "disable-features": "mq"], 1),
    (["queues": "8", "disable-features": "ctrl_vq"], 1),
  ])
  func `The smallest limit of queue pairs counts`(given: [String: String], pairs: Int) throws {
    #expect(try options(given).queuePairs == pairs)
  }

  @Test(arguments: ["queues", "n_rxq", "n_txq"], ["0", "129", "-1", "four", "99999999999999999999"])
  func `A number of queues that cannot be is refused`(key: String, text: String) {
    #expect(throws: PortError("vm1: options:\(key) is \(text); a vhost-user port has 1 to 128 queue pairs")) {
      try options([key: text])
    }
  }

  @Test func `Disabled features are not offered, nor what depends on them`() throws {
    let options = try options(["disable-features": "csum, packed,mrg_rxbuf"])
    let everything = VirtioFeatures(rawValue: .max)
    #expect(
      everything.subtracting(options.offeredFeatures(of: everything)).names == [
        "csum", "host_tso4", "host_tso6", "host_ecn", "host_ufo", "mrg_rxbuf", "packed", "host_uso",
      ])
  }

  @Test func `Protocol features go with the features they serve`() throws {
    let everything = ProtocolFeatures(rawValue: .max)
    func missing(_ names: String) throws -> [String] {
      everything.subtracting(
        try options(["disable-features": names]).offeredProtocolFeatures(of: everything)
      ).names
    }
    #expect(try missing("mq") == ["mq"])
    #expect(try missing("mtu,migration") == ["log_shmfd", "mtu"])
    #expect(try missing("gso,iommu,in_order") == [])
  }

  @Test func `An unknown feature is refused with all that are known`() {
    #expect {
      try options(["disable-features": "tso,jumbo"])
    } throws: { error in
      let text = "\(error)"
      return text.hasPrefix(
        "vm1: options:disable-features names jumbo, which is not one of tso, ufo, uso, gso,")
        && VirtioFeatures.selectableNames.allSatisfy { text.contains($0) }
    }
  }

  @Test func `A port may be polled always`() throws {
    #expect(try options(["polling": "always"]).isAlwaysPolled)
    #expect(try !options(["polling": "adaptive"]).isAlwaysPolled)
    #expect(throws: PortError("vm1: options:polling is fast; use adaptive or always")) {
      try options(["polling": "fast"])
    }
  }

  @Test func `Any change of these options makes another port`() throws {
    let changes = [["queues": "2"], ["disable-features": "tso"], ["polling": "always"]]
    for change in changes { #expect(try options(change) != options([:]), "\(change)") }
    #expect(try options(["queues": "128", "disable-features": "", "polling": "adaptive"]) == options([:]))
  }
}
