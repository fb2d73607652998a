/// The texts of `--help`.
enum Help {
  static func overview(_ program: String) -> String {
    var text = """
      \(program): configure and inspect switchd
      usage: \(program) [OPTION]... COMMAND [ARGUMENT]... [-- [OPTION]... COMMAND [ARGUMENT]...]...

      Commands separated by -- are one transaction: all of it happens, or nothing.

      """
    for group in Command.Group.allCases {
      text += "\n\(group.rawValue):\n"
      for command in Command.all where command.group == group {
        text += entry("\(command.name) \(command.usage)", CommandHelp.byName[command.name]?.summary ?? "")
      }
    }
    text += "\nOptions:\n"
    for option in GlobalOptions.table.map(\.syntax) { text += optionEntry(option) }
    return text
      + "\n\(program) help COMMAND explains a command. Exit status: 0 done, 1 failed, 2 wrong usage.\n"
  }

  static func page(_ program: String, _ command: Command) -> String {
    let help = CommandHelp.byName[command.name]
    var text = "usage: \(program) [OPTION]... \(command.synopsis)\n\n"
    text += wrapped(help?.paragraph ?? "", width: 79) + "\n"
    if !command.options.isEmpty {
      text += "Options of this command (\(command.group == .flow ? "anywhere" : "before its name")):\n"
      for option in command.options { text += optionEntry(option) }
      text += "\n"
    }
    return text + "Example:\n  \(help?.example ?? "")\n"
  }

  private static func optionEntry(_ option: OptionSyntax) -> String {
    entry((option.letter.map { "-\($0), " } ?? "") + option.usage, option.summary)
  }

  private static func entry(_ left: String, _ right: String) -> String {
    let column = 34
    let left = "  " + left
    if left.count + 2 > column { return left + "\n" + String(repeating: " ", count: column) + right + "\n" }
    return left + String(repeating: " ", count: column - left.count) + right + "\n"
  }

  private static func wrapped(_ text: String, width: Int) -> String {
    var lines: [String] = [""]
    for word in text.split(separator: " ") {
      if lines[lines.count - 1].count + word.count + 1 > width { lines.append("") }
      lines[lines.count - 1] += (lines[lines.count - 1].isEmpty ? "" : " ") + word
    }
    return lines.map { $0 + "\n" }.joined()
  }
}
