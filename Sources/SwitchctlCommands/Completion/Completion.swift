import Linux

/// What can stand at the end of an unfinished command line.
///
/// The shells' scripts (etc/completion) ask with `switchctl --complete LINE`, LINE being what is before the cursor.
/// The answer is a line for each word that the last one may become, with a tab and an explanation if there is one. No
/// space follows a word that ends in `=` or `:`. The line `:files` stands for names of files.
enum Completion {
  static let request = "--complete"
  static let files = Candidate(":files")

  struct Candidate: Equatable {
    var text: String
    var summary = ""
    /// Whether upper and lower case, - and _ are the same in it, as in names of tables and columns.
    var isLoose = false

    init(_ text: String, _ summary: String = "", isLoose: Bool = false) {
      self.text = text
      self.summary = summary
      self.isLoose = isLoose
    }

    func begins(with word: String) -> Bool {
      if self == Completion.files { return true }
      func normal(_ text: String) -> String { isLoose ? text.lowercased().replacing("-", with: "_") : text }
      return normal(text).hasPrefix(normal(word))
    }
  }

  static func answer(_ line: String, _ loop: EventLoop) -> String {
    let unfinished = UnfinishedLine(line)
    var seen: Set<String> = []
    return candidates(unfinished, loop).filter {
      $0.begins(with: unfinished.word) && seen.insert($0.text).inserted
    }
    .map { candidate in
      if candidate == files { return ":files\n" }
      let summary = candidate.summary.isEmpty ? "" : "\t" + candidate.summary
      return unfinished.lead + candidate.text + summary + "\n"
    }.joined()
  }

  private static func candidates(_ line: UnfinishedLine, _ loop: EventLoop) -> [Candidate] {
    switch line.place {
    case .optionName: optionNames(line)
    case .optionValue(let option): optionValues(option, line, loop)
    case .command: commands(line)
    case .secondWord(let first): secondWords(first)
    case .argument(let index):
      line.command.map { ArgumentCompletion(line, $0, loop).candidates(index) } ?? []
    }
  }

  private static func commands(_ line: UnfinishedLine) -> [Candidate] {
    Command.all.filter { command in
      line.options.allSatisfy { option in command.options.contains { $0.name == option } }
    }.map { command in
      guard let space = command.name.firstIndex(of: " ") else {
        return Candidate(command.name, CommandHelp.byName[command.name]?.summary ?? "")
      }
      return Candidate(String(command.name[..<space]), command.group.rawValue)
    }
  }

  private static func secondWords(_ first: String) -> [Candidate] {
    Command.all.filter { $0.name.hasPrefix("\(first) ") }.map {
      Candidate(String($0.name.dropFirst(first.count + 1)), CommandHelp.byName[$0.name]?.summary ?? "")
    }
  }

  private static func optionNames(_ line: UnfinishedLine) -> [Candidate] {
    let options =
      if let command = line.command {
        command.options + GlobalOptions.table.map(\.syntax)
      } else {
        (line.isLeading ? GlobalOptions.table.map(\.syntax) : []) + Command.all.flatMap(\.options)
      }
    return options.map { option in
      let isFollowed = option.argument != nil && !option.isArgumentOptional
      return Candidate("--\(option.name)\(isFollowed ? "=" : "")", option.summary)
    }
  }

  private static func optionValues(_ option: OptionSyntax, _ line: UnfinishedLine, _ loop: EventLoop)
    -> [Candidate]
  {
    switch option.name {
    case "format": OutputStyle.Format.allCases.map { Candidate($0.rawValue) }
    case "data": OutputStyle.Cells.allCases.map { Candidate($0.rawValue) }
    case "target": ["switchd", "switchdbd"].map { Candidate($0) }
    case "db": ["unix:", "tcp:", "ssl:"].map { Candidate($0) }
    default: option.argument == "FILE" || option.argument == "DIR" ? [files] : []
    }
  }
}
