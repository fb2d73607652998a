import Linux
import OVSDBTesting
import Testing

@testable import SwitchctlCommands

/// Every command line here is given to Debian's `ovs-vsctl` and to this program, with servers of their
/// own: what they print, how they exit and what is then in the database must be the same, but for UUIDs.
@Suite(.enabled(if: ReferenceServer.isInstalled, Comment(rawValue: ReferenceServer.reason)))
struct DifferentialTests {
  /// A command line; words are separated by spaces, single quotes keep them together.
  struct Line: ExpressibleByStringLiteral {
    let text: String
    /// Rows may come in another order: there is none to `ovs-vsctl`.
    var isUnordered = false
    /// What deliberately differs, with its reason.
    var difference: Difference?

    init(stringLiteral text: String) { self.text = text }
    static func unordered(_ text: String) -> Line { with(text) { $0.isUnordered = true } }
    /// Both refuse it, this program in other words.
    static func ownWords(_ text: String, _ reason: Difference.Reason) -> Line {
      with(text) { $0.difference = .words(reason) }
    }
    /// `ovs-vsctl` takes it for something else than what is written there; this program refuses it. It is not given to
    /// `ovs-vsctl`, so that the databases stay the same.
    static func refused(_ text: String, _ reason: Difference.Reason) -> Line {
      with(text) { $0.difference = .refusal(reason) }
    }

    private static func with(_ text: String, _ change: (inout Line) -> Void) -> Line {
      var line = Line(stringLiteral: text)
      change(&line)
      return line
    }

    enum Difference {
      case words(Reason)
      case refusal(Reason)

      enum Reason {
        case refusedBeforeItIsSent
        case optionsInAnotherOrder
        case escapeNamedByTheParser
        case noNumber
        case checkedBeforeTheZone
      }
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

  private typealias Answer = (status: Outcome, output: String, errors: String)

  @Test(arguments: DifferentialCases.all.keys.sorted())
  func behavesLikeOVSVsctl(_ topic: String) throws {
    let lines = try #require(DifferentialCases.all[topic])
    let loop = try EventLoop()
    let theirs = try ReferenceServer()
    let ours: [(String, any TestServer)] = [
      ("on ovsdb-server", try ReferenceServer()), ("on our server", try ProductServer(loop)),
    ]
    let theirRows = try DatabaseContents(loop, theirs.remote)
    let ourRows = try ours.map { try DatabaseContents(loop, $0.1.remote) }
    for line in lines {
      let expected = try theirAnswer(line, theirs)
      let want = try theirRows.text()
      for ((place, server), rows) in zip(ours, ourRows) {
        compare(answer(line, server, loop), expected, line, place)
        let have = try rows.text()
        guard have == want else {
          Issue.record("\(place), after \(line.text)\n\(difference(have, want))")
          return
        }
      }
    }
  }

  private static let options = ["--no-wait", "--timeout=20"]

  /// Nil for a line that is not for `ovs-vsctl`.
  private func theirAnswer(_ line: Line, _ server: ReferenceServer) throws -> Answer? {
    if case .refusal? = line.difference { return nil }
    let (status, output, errors) = try server.directory.run(
      ["ovs-vsctl", "--db=unix:\(server.socket)"] + Self.options + line.words)
    // Lines of its log are not part of the answer.
    let sentences = errors.split(separator: "\n").filter { $0.hasPrefix("ovs-vsctl: ") }
    return (.code(status), output, sentences.map { "\($0)\n" }.joined())
  }

  private func answer(_ line: Line, _ server: any TestServer, _ loop: EventLoop) -> Answer {
    var (output, errors) = ("", "")
    let terminal = Terminal(program: "ovs-vsctl", output: { output += $0 }, errors: { errors += $0 })
    let status = Program.run(["--db=unix:\(server.socket)"] + Self.options + line.words, loop, terminal)
    return (status, output, errors)
  }

  private func compare(_ ours: Answer, _ theirs: Answer?, _ line: Line, _ place: String) {
    let told = "\(place), \(line.text): \(ours.errors)"
    #expect(ours.status == theirs?.status ?? .code(1), "\(told)")
    #expect(normalized(ours.output, line) == normalized(theirs?.output ?? "", line), "\(told)")
    if let theirs, line.difference == nil {
      #expect(withoutUUIDs(ours.errors) == withoutUUIDs(theirs.errors), "\(told)")
    } else {
      #expect(!ours.errors.isEmpty, "\(told)")
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
