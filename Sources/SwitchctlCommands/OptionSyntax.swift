/// One long option: `--name`, or `--name=PLACEHOLDER` when it takes an argument.
struct OptionSyntax: Equatable, Sendable {
  let name: String
  /// The argument's name in help; nil when the option takes none.
  let argument: String?
  /// One letter that means the same (`-t` for `--timeout`).
  let letter: Character?
  let summary: String
  /// An argument that may be left out (`--verbose[=SPEC]`).
  let isArgumentOptional: Bool

  /// An option without an argument.
  init(_ name: String, letter: Character? = nil, _ summary: String) {
    self.name = name
    argument = nil
    self.letter = letter
    self.summary = summary
    isArgumentOptional = false
  }

  /// An option with an argument.
  init(
    _ name: String, _ argument: String, letter: Character? = nil, optional: Bool = false, _ summary: String
  ) {
    self.name = name
    self.argument = argument
    self.letter = letter
    self.summary = summary
    isArgumentOptional = optional
  }

  /// `--timeout=SECONDS`.
  var usage: String {
    guard let argument else { return "--\(name)" }
    return isArgumentOptional ? "--\(name)[=\(argument)]" : "--\(name)=\(argument)"
  }

  /// The option that `name` (without dashes) spells or uniquely abbreviates.
  static func resolve(_ name: String, among options: [OptionSyntax]) throws(CommandError) -> OptionSyntax {
    if let exact = options.first(where: { $0.name == name }) { return exact }
    var seen: [OptionSyntax] = []
    for option in options
    where option.name.hasPrefix(name) && !seen.contains(where: { $0.name == option.name }) {
      seen.append(option)
    }
    if seen.count == 1 { return seen[0] }
    if seen.isEmpty {
      let hint = NearestName.suggestion(for: name, among: options.map(\.name))
      throw .usage(
        "unrecognized option '--\(name)'", hint: hint.map { " (did you mean \"--\($0)\"?)" } ?? "")
    }
    let choices = seen.map { "'--\($0.name)'" }.joined(separator: " ")
    throw .usage("option '--\(name)' is ambiguous; possibilities: \(choices)")
  }
}
