import Linux
import OVSDBTesting
import Testing

@testable import SwitchctlCommands

/// Every command line here is given to Debian's `ovs-vsctl` and to this program, each with an `ovsdb-server` of its
/// own: what they print, how they exit and what is then in the database must be the same, but for UUIDs.
@Suite(.enabled(if: ReferenceServer.isInstalled, Comment(rawValue: ReferenceServer.reason)))
struct DifferentialTests {
  /// A command line; words are separated by spaces, single quotes keep them together.
  struct Line: ExpressibleByStringLiteral {
    let text: String
    /// Rows may come in another order: there is none to `ovs-vsctl`.
    var isUnordered = false
    /// The command line is wrong: exit status 2 here, 1 there.
    var isUsage = false
    /// Said in other words here.
    var hasOwnWords = false

    init(stringLiteral text: String) { self.text = text }
    static func unordered(_ text: String) -> Line { with(text) { $0.isUnordered = true } }
    static func usage(_ text: String) -> Line { with(text) { ($0.isUsage, $0.hasOwnWords) = (true, true) } }
    static func ownWords(_ text: String) -> Line { with(text) { $0.hasOwnWords = true } }

    private static func with(_ text: String, _ change: (inout Line) -> Void) -> Line {
      var line = Line(stringLiteral: text)
      change(&line)
      return line
    }

    var words: [String] {
      var words: [String] = []
      var word: String?
      var isQuoted = false
      for character in text {
        if character == "'" {
          isQuoted.toggle()
          word = word ?? ""
        } else if character == " ", !isQuoted {
          if let word { words.append(word) }
          word = nil
        } else {
          word = (word ?? "") + String(character)
        }
      }
      return words + (word.map { [$0] } ?? [])
    }
  }

  /// Which server this program is given; `ovs-vsctl` always has Open vSwitch's own.
  enum Backend: CaseIterable { case reference, product }

  @Test(arguments: DifferentialCases.all.keys.sorted(), Backend.allCases)
  func behavesLikeOVSVsctl(_ topic: String, _ backend: Backend) throws {
    let lines = try #require(DifferentialCases.all[topic])
    let theirs = try ReferenceServer()
    let loop = try EventLoop()
    let ours: any TestServer = backend == .reference ? try ReferenceServer() : try ProductServer(loop)
    let (theirRows, ourRows) = (
      try DatabaseContents(loop, theirs.remote), try DatabaseContents(loop, ours.remote)
    )
    for line in lines {
      let options = ["--no-wait", "--timeout=20"]
      let expected = try theirs.directory.run(
        ["ovs-vsctl", "--db=unix:\(theirs.socket)"] + options + line.words)
      var (output, errors) = ("", "")
      let terminal = Terminal(program: "ovs-vsctl", output: { output += $0 }, errors: { errors += $0 })
      let status = Program.run(["--db=unix:\(ours.socket)"] + options + line.words, loop, terminal)

      let wanted = line.isUsage ? 2 : expected.status
      #expect(status == .code(wanted), "\(line.text): \(errors)")
      #expect(normalized(output, line) == normalized(expected.output, line), "\(line.text): \(errors)")
      if !line.hasOwnWords { checkErrors(errors, expected.errors, line) }

      let (have, want) = (try ourRows.text(), try theirRows.text())
      guard have == want else {
        Issue.record("after \(line.text)\n\(difference(have, want))")
        return
      }
    }
  }

  /// Sentences begin alike; a suggestion may follow here.
  private func checkErrors(_ ours: String, _ theirs: String, _ line: Line) {
    let expected = theirs.split(separator: "\n").filter { $0.hasPrefix("ovs-vsctl: ") }
    let given = ours.split(separator: "\n").filter { !$0.hasPrefix("ovs-vsctl: warning: ") }
    #expect(given.count == expected.count, "\(line.text): \(ours)")
    for (given, expected) in zip(given, expected) {
      #expect(
        withoutUUIDs(String(given)).hasPrefix(withoutUUIDs(String(expected))), "\(line.text)")
    }
  }

  private func normalized(_ output: String, _ line: Line) -> String {
    if line.text == "show" { return sortedTree(withoutUUIDs(output)) }
    let text = withoutUUIDs(output)
    guard line.isUnordered else { return text }
    return text.split(separator: "\n", omittingEmptySubsequences: false).sorted().joined(separator: "\n")
  }

  /// An indented text with the entries of each level sorted, whatever is below an entry going with it.
  private func sortedTree(_ text: String) -> String {
    func sorted(_ lines: ArraySlice<Substring>) -> [Substring] {
      guard let indent = lines.first?.prefix(while: { $0 == " " }).count else { return [] }
      var entries: [[Substring]] = []
      for line in lines {
        if line.prefix(while: { $0 == " " }).count > indent, !entries.isEmpty {
          entries[entries.count - 1].append(line)
        } else {
          entries.append([line])
        }
      }
      return entries.map { [$0[0]] + sorted($0.dropFirst()) }
        .sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 }
    }
    return sorted(text.split(separator: "\n")[...]).joined(separator: "\n")
  }

  private func difference(_ ours: String, _ theirs: String) -> String {
    let (ours, theirs) = (ours.split(separator: "\n"), theirs.split(separator: "\n"))
    return ours.filter { !theirs.contains($0) }.map { "here:  \($0)\n" }.joined()
      + theirs.filter { !ours.contains($0) }.map { "there: \($0)\n" }.joined()
  }

  /// Each UUID, also the first eight digits of one in HTML, replaced by a word.
  private func withoutUUIDs(_ text: String) -> String {
    var result = ""
    var rest = text[...]
    while !rest.isEmpty {
      if UUIDText.isUUID(rest.prefix(36)), rest.utf8.count >= 36 {
        result += "<uuid>"
        rest.removeFirst(36)
        if rest.hasPrefix("\">") {
          result += "\"><uuid>"
          rest.removeFirst(10)
        }
      } else {
        result.append(rest.removeFirst())
      }
    }
    return result
  }
}
