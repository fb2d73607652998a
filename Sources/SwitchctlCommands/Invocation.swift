/// A command line, understood: the global options and the commands of one transaction.
///
/// `[OPTION…] COMMAND [ARGUMENT…] [-- [OPTION…] COMMAND [ARGUMENT…]]…`. Before the first command, global options and
/// the first command's own mix freely, may be abbreviated, and may have their argument in the next word; after a
/// `--` only the command's own options stand before its name, with `=`. Commands on flows take options behind it too.
struct Invocation {
  var options = GlobalOptions()
  var requests: [Request] = []
  /// What help was asked for: a command's name, or "" for the overview.
  var helpTopic: String?

  /// One command with its own options and arguments.
  struct Request {
    let command: Command
    let arguments: [String]
    /// By name without dashes; an option without an argument has nil.
    let options: [String: String?]

    func has(_ option: String) -> Bool { options.keys.contains(option) }
    func value(_ option: String) -> String? { options[option] ?? nil }
  }

  /// Parses the words after the program's name.
  init(_ words: [String]) throws(CommandError) {
    var rest = words[...]
    let own = try takeLeadingOptions(&rest)
    if options.wantsVersion || options.wantsCommands || options.wantsOptions { return }
    if options.wantsHelp {
      helpTopic = rest.popFirst().flatMap { Command.named(Command.fullName($0, &rest))?.name } ?? ""
      return
    }
    try takeCommands(rest, own)
  }

  // MARK: Options before the first command

  private mutating func takeLeadingOptions(_ words: inout ArraySlice<String>) throws(CommandError)
    -> [(name: String, value: String?)]
  {
    var own: [(name: String, value: String?)] = []
    while let word = words.first, word.hasPrefix("-"), word != "-" {
      words.removeFirst()
      if word == "--" { break }
      for (name, value) in try takeOptions(in: word, &words) {
        // Given twice before the first command, the first counts.
        if !own.contains(where: { $0.name == name }) { own.append((name, value)) }
      }
    }
    return own
  }

  /// Applies the global options in `word`, and returns those of commands.
  private mutating func takeOptions(in word: String, _ rest: inout ArraySlice<String>) throws(CommandError)
    -> [(name: String, value: String?)]
  {
    var own: [(name: String, value: String?)] = []
    for (option, value) in try Self.options(in: word, &rest) {
      let isGlobal = try options.apply(option, value)
      if !isGlobal { own.append((option.name, value)) }
    }
    return own
  }

  static let known =
    GlobalOptions.table.map(\.syntax) + GlobalOptions.accepted + Command.all.flatMap(\.options)
  /// Those that `ovs-vsctl` has: what it takes for one of them by its beginning is not ambiguous here.
  private static let familiar =
    GlobalOptions.table.map(\.syntax) + GlobalOptions.accepted
    + Command.all.filter { $0.group != .flow }.flatMap(\.options)

  private static func option(named name: String) throws(CommandError) -> OptionSyntax {
    let isFamiliar = !known.contains { $0.name == name } && familiar.contains { $0.name.hasPrefix(name) }
    return try OptionSyntax.resolve(name, among: isFamiliar ? familiar : known)
  }

  /// The options in one word: a long one, or a bundle of letters.
  private static func options(in word: String, _ rest: inout ArraySlice<String>)
    throws(CommandError) -> [(OptionSyntax, String?)]
  {
    if word.hasPrefix("--") {
      let (name, attached) = splitAtEquals(word.dropFirst(2))
      let option = try Self.option(named: name)
      if option.argument == nil, attached != nil {
        throw .usage("option '--\(option.name)' doesn't allow an argument")
      }
      if let attached { return [(option, attached)] }
      return [(option, try following(option, "option '--\(option.name)' requires an argument", &rest))]
    }
    var found: [(OptionSyntax, String?)] = []
    var letters = word.dropFirst()
    while let letter = letters.popFirst() {
      guard let option = known.first(where: { $0.letter == letter }) else {
        throw .usage("invalid option -- '\(letter)'")
      }
      if option.argument != nil, !letters.isEmpty {
        return found + [(option, String(letters))]
      }
      found.append((option, try following(option, "option requires an argument -- '\(letter)'", &rest)))
    }
    return found
  }

  /// The argument in the next word, when the option must have one.
  private static func following(_ option: OptionSyntax, _ problem: String, _ rest: inout ArraySlice<String>)
    throws(CommandError) -> String?
  {
    guard option.argument != nil, !option.isArgumentOptional else { return nil }
    guard let value = rest.popFirst() else { throw .usage(problem) }
    return value
  }

  private static func splitAtEquals(_ text: Substring) -> (String, String?) {
    guard let equals = text.firstIndex(of: "=") else { return (String(text), nil) }
    return (String(text[..<equals]), String(text[text.index(after: equals)...]))
  }

  // MARK: Commands

  private mutating func takeCommands(_ words: ArraySlice<String>, _ leading: [(name: String, value: String?)])
    throws(CommandError)
  {
    var pending = leading
    var words = words
    if let name = words.firstIndex(where: { !$0.hasPrefix("-") }), words[name] == "watch" {
      // It is alone: what follows a -- is conditions.
      words = words[..<name] + words[name...].filter { $0 != "--" }
    }
    for group in words.split(separator: "--", omittingEmptySubsequences: false) {
      if group.isEmpty {
        if !pending.isEmpty { throw Self.missingCommand }
        continue
      }
      var group = group
      while let word = group.first, word.hasPrefix("-") {
        group.removeFirst()
        let (name, value) = Self.splitAtEquals(word.drop { $0 == "-" })
        pending.append((name, value))
      }
      guard let word = group.popFirst() else { throw Self.missingCommand }
      let name = Command.fullName(word, &group)
      if name == "help" || group.contains("--help") {
        helpTopic = try Self.helpTopic(name, group)
        return
      }
      if Command.named(name)?.takesFollowingOptions == true { try takeFollowingOptions(&group, &pending) }
      requests.append(try Self.request(name, Array(group), pending))
      pending = []
    }
    if requests.isEmpty { throw Self.missingCommand }
  }

  /// Takes the options between a command's arguments.
  private mutating func takeFollowingOptions(
    _ words: inout ArraySlice<String>, _ own: inout [(name: String, value: String?)]
  ) throws(CommandError) {
    var arguments: [String] = []
    while let word = words.popFirst() {
      guard word.hasPrefix("-"), word != "-" else {
        arguments.append(word)
        continue
      }
      own += try takeOptions(in: word, &words)
    }
    words = arguments[...]
  }

  private static let missingCommand = CommandError.usage("missing command name (use --help for help)")

  private static func helpTopic(_ name: String, _ group: ArraySlice<String>) throws(CommandError) -> String {
    var words = group
    guard let topic = name == "help" ? words.popFirst() : name, topic != "--help" else { return "" }
    return try command(Command.fullName(topic, &words)).name
  }

  private static func command(_ name: String) throws(CommandError) -> Command {
    if let command = Command.named(name) { return command }
    let hint = NearestName.hint(for: name, among: Command.all.map(\.name))
    throw .usage("unknown command '\(name)'; use --help for help", hint: hint)
  }

  private static func request(
    _ name: String, _ arguments: [String], _ given: [(name: String, value: String?)]
  )
    throws(CommandError) -> Request
  {
    let command = try command(name)
    var options: [String: String?] = [:]
    for (spelling, value) in given {
      let option = try option(spelling, of: command)
      if option.argument == nil, value != nil {
        throw .usage("'--\(option.name)' option on '\(name)' does not accept an argument")
      }
      if option.argument != nil, !option.isArgumentOptional, value == nil {
        throw .usage("missing argument to '--\(option.name)' option on '\(name)' command")
      }
      if options.updateValue(value, forKey: option.name) != nil {
        throw .usage("'--\(option.name)' option specified multiple times")
      }
    }
    try checkCount(command, arguments)
    return Request(command: command, arguments: arguments, options: options)
  }

  private static func option(_ spelling: String, of command: Command) throws(CommandError) -> OptionSyntax {
    if let exact = command.options.first(where: { $0.name == spelling }) { return exact }
    let partial = command.options.filter { !spelling.isEmpty && $0.name.hasPrefix(spelling) }
    if partial.count == 1 { return partial[0] }
    throw .usage(
      "'\(command.name)' command has no '--\(spelling)' option", hint: "; see '--help \(command.name)'")
  }

  private static func checkCount(_ command: Command, _ arguments: [String]) throws(CommandError) {
    let allowed = command.arguments
    if arguments.count < allowed.lowerBound {
      throw .usage(
        "'\(command.name)' command requires at least \(allowed.lowerBound) arguments",
        hint: " (usage: \(command.synopsis))")
    }
    if arguments.count > allowed.upperBound {
      let note =
        arguments.contains { $0.hasPrefix("-") }
        ? " (note that options must precede command names and follow a \"--\" argument)" : ""
      throw .usage("'\(command.name)' command takes at most \(allowed.upperBound) arguments\(note)")
    }
  }
}
