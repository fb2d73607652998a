import Datapath
import JSONRPC

// Poll threads and their receive queues, as the control socket shows and moves them.
extension RuntimeCommands {
  var pollThreadCommands: [ControlCommand] {
    // Under Open vSwitch's names too: scripts have them.
    ["pmd-stats", "dpif-netdev/pmd-stats-show"].map { reports($0, "[SECONDS]", pollThreads) }
      + ["pmd-rxq-show", "dpif-netdev/pmd-rxq-show"].map { reports($0, "[SECONDS]", receiveQueues) }
      + [reports("flow-cache", "", flowCaches)]
      + ["pmd-rebalance", "dpif-netdev/pmd-rxq-rebalance"].map { name in
        // Open vSwitch's takes the name of a datapath; there is only one here.
        ControlCommand(name, arguments: 0...2) { _ in
          let moved = datapath.rebalance()
          return moved == 1 ? "1 receive queue moved\n" : "\(moved) receive queues moved\n"
        }
      }
  }

  /// Rates over a window; the numbers since the thread started, and since the port was added, as JSON only.
  private func pollThreads(_ window: String?) throws(ControlError) -> [TextTable] {
    let seconds = try seconds(window)
    var threads = TextTable([
      ("thread", .right), ("cpu", .right), ("queues", .right), ("Mpps", .right),
      ("cycles_per_frame", .right), ("frames_per_burst", .right), ("busy_percent", .right),
      ("idle_percent", .right), ("asleep_percent", .right), ("seconds", .right), ("frames", .hidden),
      ("bursts", .hidden), ("busy_turns", .hidden), ("idle_turns", .hidden), ("busy_cycles", .hidden),
      ("idle_cycles", .hidden), ("sleeps", .hidden),
    ])
    for thread in datapath.pollThreadStatistics(seconds: seconds) {
      threads.append([
        .integer(Int64(thread.thread)), cpu(thread.cpu), .integer(Int64(thread.receiveQueues)),
        megaframes(thread.rates), tenths(thread.rates.cyclesPerFrame), tenths(thread.rates.framesPerBurst),
        percent(thread.rates.busy), percent(thread.rates.idle), percent(thread.rates.asleep),
        tenths(thread.rates.seconds), count(thread.frames), count(thread.bursts), count(thread.busyTurns),
        count(thread.idleTurns), count(thread.busyCycles), count(thread.idleCycles), count(thread.sleeps),
      ])
    }
    var queues = TextTable(
      [
        ("thread", .right), ("port", .left), ("queue", .right), ("Mpps", .right),
        ("cycles_per_frame", .right), ("frames_per_burst", .right), ("busy_percent", .right),
        ("frames", .hidden), ("bursts", .hidden), ("cycles", .hidden),
      ], name: "queues")
    for (port, queue) in queuesByThread(seconds) {
      queues.append([
        .integer(Int64(queue.thread)), .string(port), .integer(Int64(queue.queue)), megaframes(queue.rates),
        tenths(queue.rates.cyclesPerFrame), tenths(queue.rates.framesPerBurst), percent(queue.rates.busy),
        count(queue.frames), count(queue.bursts), count(queue.cycles),
      ])
    }
    return [threads, queues]
  }

  /// What poll threads remember of flows' decisions, and how often that did not help.
  private func flowCaches(_ unused: String?) throws(ControlError) -> [TextTable] {
    var table = TextTable([
      ("thread", .right), ("entries", .right), ("masks", .right), ("frames", .right), ("searches", .right),
      ("misses", .right), ("renewals", .right),
    ])
    for thread in datapath.pollThreadStatistics() {
      let cache = thread.flowCache
      table.append([
        .integer(Int64(thread.thread)), count(cache.entries), count(cache.masks), count(thread.frames),
        count(cache.searches), count(cache.misses), count(cache.renewals),
      ])
    }
    return [table]
  }

  private func receiveQueues(_ window: String?) throws(ControlError) -> [TextTable] {
    var table = TextTable([
      ("thread", .right), ("cpu", .right), ("port", .left), ("queue", .right), ("affinity", .left),
      ("usage_percent", .right),
    ])
    for (port, queue) in queuesByThread(try seconds(window, default: 60)) {
      table.append([
        .integer(Int64(queue.thread)), cpu(queue.cpu), .string(port), .integer(Int64(queue.queue)),
        queue.isPinned ? "pinned" : "any", percent(queue.rates.busy),
      ])
    }
    return [table]
  }

  private func queuesByThread(_ seconds: Int) -> [(port: String, ReceiveQueueStatistics)] {
    var names: [PortID: String] = [:]
    for interface in interfaces(on: nil) {
      if let id = reconciler.condition(of: interface.name)?.attached?.id { names[id] = interface.name }
    }
    return datapath.receiveQueueStatistics(seconds: seconds).map { (names[$0.port] ?? "?", $0) }
      .sorted { ($0.1.thread, $0.0, $0.1.queue) < ($1.1.thread, $1.0, $1.1.queue) }
  }

  private func seconds(_ text: String?, default standard: Int = 5) throws(ControlError) -> Int {
    guard let text else { return standard }
    guard let seconds = Int(text), (1...60).contains(seconds) else {
      throw ControlError("\"\(printable(text))\" is not a number of seconds from 1 to 60\n")
    }
    return seconds
  }

  private func cpu(_ number: Int?) -> JSON { number.map { .integer(Int64($0)) } ?? .null }
  private func percent(_ share: Double) -> JSON { tenths(share * 100) }
  private func tenths(_ value: Double?) -> JSON { value.map { .real(($0 * 10).rounded() / 10) } ?? .null }
  private func megaframes(_ rates: WorkRates) -> JSON {
    .real((rates.framesPerSecond / 1000).rounded() / 1000)
  }
}
