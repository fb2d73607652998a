import Testing

@testable import Flow

/// Lines of flows as people write them, in files next to this one: Open vSwitch reads those of `accepted.txt`, and
/// refuses those of `refused.txt`. Those of `rewritten.txt` are dumped in other words than Open vSwitch has, because our
/// model has one action where it has two that do the same. In `unsupported.txt` are those it reads and we refuse by name, because a flow that
/// cannot do what it says is worse than none.
@Suite struct TextCorpusTests {
  static func corpus(_ name: String) throws -> [String] {
    let directory = #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
    return try readLines("\(directory)/Corpus/\(name).txt")
  }

  @Test(arguments: ["accepted", "rewritten"])
  func `What Open vSwitch reads is read, written and read again as the same`(name: String) throws {
    for line in try Self.corpus(name) {
      do {
        let flow = try #require(try FlowParser().modification(line: line)).flow
        let text = FlowFormatter().flow(flow)
        #expect(try FlowParser().flow(text, for: .add).flow == flow, "\(line)")
      } catch { Issue.record("\(line): \(error)") }
    }
  }

  @Test(arguments: ["refused", "unsupported"])
  func `What is wrong or not supported is refused in a sentence`(name: String) throws {
    for line in try Self.corpus(name) {
      do {
        _ = try FlowParser().modification(line: line)
        Issue.record("accepted: \(line)")
      } catch {
        #expect(error.description.count > 20, "\(line): \(error)")
      }
    }
  }

  @Test(.enabled(if: ReferenceTool.isInstalled, ReferenceTool.reason))
  func `Open vSwitch writes the accepted lines as we do`() throws {
    for line in try Self.corpus("accepted") {
      guard let theirs = try ReferenceTool.read([line])?.first else {
        Issue.record("Open vSwitch refuses \(line)")
        continue
      }
      do {
        // Theirs is before normalization: conditions on headers that are not asked for are still there.
        let flow = try #require(try FlowParser().modification(line: line)).flow
        let again = try FlowParser().flow(theirs, for: .add).flow
        #expect(again == flow, "\(line): \(theirs)")
        let ours = ReferenceTool.text(flow)
        // Theirs of ours, byte by byte.
        let dumped = try ReferenceTool.read([FlowFormatter().flow(flow)])
        #expect(dumped == [ours], "\(line)")
        if isNormal(theirs) { #expect(ours == theirs, "\(line)") }
      } catch { Issue.record("\(line): \(error)") }
    }
  }

  /// Whether every condition of a flow in Open vSwitch's form is on a header it asks for.
  private func isNormal(_ line: String) -> Bool {
    var dropped = false
    _ = try? FlowParser(warn: { _ in dropped = true }).flow(line, for: .add)
    return !dropped
  }

  @Test(.enabled(if: ReferenceTool.isInstalled, ReferenceTool.reason))
  func `Open vSwitch reads what we write in other words`() throws {
    for line in try Self.corpus("rewritten") {
      let flow = try #require(try FlowParser().modification(line: line)).flow
      #expect(try ReferenceTool.read([FlowFormatter().flow(flow)]) == [ReferenceTool.text(flow)], "\(line)")
    }
  }

  @Test(.enabled(if: ReferenceTool.isInstalled, ReferenceTool.reason))
  func `Flags are those that Open vSwitch would send`() throws {
    let names = FlowDescription.Flags.names.map(\.name)
    for bits in 0..<UInt8(32) {
      var flow = FlowDescription(priority: 5, actions: [.output(PortNumber(1))])
      flow.flags = FlowDescription.Flags(rawValue: bits)
      let sent = try #require(try ReferenceTool.send([FlowFormatter().flow(flow)])?.first)
      #expect(
        names.filter { sent.contains($0) }
          == FlowDescription.Flags.names.filter { flow.flags.contains($0.flag) }.map(\.name))
    }
  }

  @Test(.enabled(if: ReferenceTool.isInstalled, ReferenceTool.reason))
  func `Open vSwitch refuses the refused lines, and reads those not supported`() throws {
    for line in try Self.corpus("refused") {
      #expect(try ReferenceTool.read([line]) == nil, "\(line)")
    }
    for line in try Self.corpus("unsupported") {
      #expect(try ReferenceTool.read([line]) != nil, "\(line)")
    }
  }
}
