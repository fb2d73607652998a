/// A command line up to the cursor, as far as it is understood: what the word under the cursor is.
struct UnfinishedLine {
  /// The value of a long option, or of `-f`.
  enum Place: Equatable {
    case optionName
    case optionValue(OptionSyntax)
    case command
    /// The second word of a command that has two; the first.
    case secondWord(String)
    case argument(Int)
  }

  private(set) var place = Place.command
  /// The program's name, without a directory.
  let program: String
  /// The word under the cursor, without quotes; of `--option=VALUE` the value only.
  private(set) var word = ""
  /// What stands before it in the same word: `--option=`.
  private(set) var lead = ""
  private(set) var command: Command?
  private(set) var arguments: [String] = []
  /// Options of commands that were given before the command's name.
  private(set) var options: [String] = []
  /// The global options given so far.
  private(set) var globals = GlobalOptions()
  /// Whether it is still before the first command, where global options stand.
  private(set) var isLeading = true

  /// - Parameter line: begins with the program's name.
  init(_ line: String) {
    var words = Self.words(line)
    program = words.first?.split(separator: "/").last.map(String.init) ?? "switchctl"
    word = words.popLast() ?? ""
    var rest = words.dropFirst()
    while let next = rest.popFirst() { take(next, &rest) }
    guard place == .command else { return }
    placeLastWord()
  }

  private mutating func take(_ next: String, _ rest: inout ArraySlice<String>) {
    if next == "--", command?.name != "watch" {
      if command != nil { isLeading = false }
      (command, arguments, options) = (nil, [], [])
    } else if next.hasPrefix("-"), command?.takesFollowingOptions ?? true {
      takeOption(next, &rest)
    } else if command == nil {
      command = Command.named(Command.fullName(next, &rest))
      if command == nil, rest.isEmpty, Command.all.contains(where: { $0.name.hasPrefix("\(next) ") }) {
        return place = .secondWord(next)
      }
      // An unknown command: nothing is known of what follows either.
      if command == nil { command = Command.named("comment") }
    } else if next != "--" {
      arguments.append(next)
    }
  }

  private mutating func takeOption(_ text: String, _ rest: inout ArraySlice<String>) {
    guard let option = Self.option(text) else { return }
    var value = text.firstIndex(of: "=").map { String(text[text.index(after: $0)...]) }
    if value == nil, option.argument != nil, !option.isArgumentOptional, isLeading {
      guard let next = rest.popFirst() else { return place = .optionValue(option) }
      value = next
    }
    let isGlobal = (try? globals.apply(option, value)) ?? true
    if !isGlobal { options.append(option.name) }
  }

  private mutating func placeLastWord() {
    if word.hasPrefix("-"), command?.takesFollowingOptions ?? true {
      place = .optionName
      if let equals = word.firstIndex(of: "="), let option = Self.option(word) {
        let value = word.index(after: equals)
        (place, lead, word) = (.optionValue(option), String(word[..<value]), String(word[value...]))
      }
    } else if command != nil {
      place = .argument(arguments.count)
    }
  }

  /// The option that a word names, in full or abbreviated.
  private static func option(_ text: String) -> OptionSyntax? {
    if !text.hasPrefix("--") {
      return Invocation.known.first { $0.letter == text.dropFirst().first && text.count == 2 }
    }
    let name = String(text.dropFirst(2).prefix { $0 != "=" })
    return try? OptionSyntax.resolve(name, among: Invocation.known)
  }

  /// The words as a shell splits them; the last may be empty.
  static func words(_ line: String) -> [String] {
    var words = [""]
    var quote: Character?
    var rest = line[...]
    while let character = rest.popFirst() {
      if let open = quote {
        if character == open {
          quote = nil
        } else if character == "\\", open == "\"", let next = rest.popFirst() {
          words[words.count - 1] += "\"\\$`".contains(next) ? "\(next)" : "\\\(next)"
        } else {
          words[words.count - 1].append(character)
        }
      } else if character == "\"" || character == "'" {
        quote = character
      } else if character == "\\" {
        if let next = rest.popFirst() { words[words.count - 1].append(next) }
      } else if character.isWhitespace {
        if words[words.count - 1] != "" { words.append("") }
      } else {
        words[words.count - 1].append(character)
      }
    }
    return words
  }
}
