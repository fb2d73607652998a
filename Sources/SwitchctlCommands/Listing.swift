/// What `--commands` and `--options` print: the contents page, for programs that complete command lines.
enum Listing {
  /// One command per line: its synopsis; or for a drop-in as Open vSwitch's completion reads it,
  /// `[--may-exist] ,add-br,!BRIDGE ?PARENT ?VLAN`, where ! is one argument, ? one or none, + any but none, * any.
  static func commands(_ personality: Personality) -> String {
    switch personality {
    case .switchctl: Command.all.map { "\($0.synopsis)\n" }.joined()
    case .ovsVsctl: Command.all.filter(\.isFamiliar).map(familiarLine).joined()
    }
  }

  private static func familiarLine(_ command: Command) -> String {
    let options = command.options.map { "[--\($0.name)\($0.argument == nil ? "" : "=")] " }.joined()
    let arguments = command.parameters.map { parameter in
      let sign =
        switch (parameter.isOptional, parameter.isRepeated) {
        case (false, false): "!"
        case (true, false): "?"
        case (false, true): "+"
        case (true, true): "*"
        }
      return sign
        + parameter.name.replacing("OPERATOR VALUE", with: "=VALUE").replacing("[:KEY]", with: "?:KEY")
        .replacing("[KEY=]", with: "?KEY=")
    }
    return "\(options),\(command.name),\(arguments.joined(separator: " "))\n"
  }

  /// `--timeout=ARG` and `-t ARG`, one form per line.
  static let options: String = (GlobalOptions.table.map(\.syntax) + GlobalOptions.accepted).map { option in
    let argument = option.argument != nil
    return "--\(option.name)\(argument ? "=ARG" : "")\n"
      + (option.letter.map { "-\($0)\(argument ? " ARG" : "")\n" } ?? "")
  }.joined()
}
