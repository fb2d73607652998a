/// One item of a command line, read as getopt_long(3) reads it: long options may be abbreviated, a value may follow `=`
/// or be the next word, short options stand before their value with or without a space, and after `--` all is
/// positional.
public enum CommandLineItem: Equatable, Sendable {
  /// An option by its full name, without dashes.
  case option(String, value: String?)
  case positional(String)
}

/// An option as a program declares it.
public struct CommandLineOption: Sendable {
  public enum Value: Sendable { case none, optional, required }

  /// Without dashes.
  public let name: String
  public let short: Character?
  public let value: Value

  public init(_ name: String, short: Character? = nil, _ value: Value = .none) {
    self.name = name
    self.short = short
    self.value = value
  }

  /// Reads `arguments`, without the program's name, by a table of options.
  public static func read(_ arguments: [String], _ table: [CommandLineOption]) throws(UsageError)
    -> [CommandLineItem]
  {
    var items: [CommandLineItem] = []
    var rest = arguments[...]
    while let word = rest.popFirst() {
      if word == "--" {
        items += rest.map(CommandLineItem.positional)
        break
      } else if word.hasPrefix("--") {
        items.append(try long(word, &rest, table))
      } else if word.hasPrefix("-"), word.count > 1 {
        items += try short(word, &rest, table)
      } else {
        items.append(.positional(word))
      }
    }
    return items
  }

  private static func long(_ word: String, _ rest: inout ArraySlice<String>, _ table: [CommandLineOption])
    throws(UsageError) -> CommandLineItem
  {
    let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
      String.init)
    let option = try find(parts[0], table)
    var value = parts.count > 1 ? parts[1] : nil
    switch option.value {
    case .none:
      guard value == nil else { throw UsageError("--\(option.name) takes no value") }
    case .optional: break
    case .required:
      value = value ?? rest.popFirst()
      guard let value, !value.isEmpty else {
        throw UsageError("--\(option.name) needs a value: --\(option.name)=…")
      }
    }
    return .option(option.name, value: value)
  }

  private static func find(_ name: String, _ table: [CommandLineOption]) throws(UsageError)
    -> CommandLineOption
  {
    if let exact = table.first(where: { $0.name == name }) { return exact }
    let candidates = table.filter { $0.name.hasPrefix(name) }
    guard let only = candidates.first, !name.isEmpty else { throw UsageError("unknown option --\(name)") }
    guard candidates.count == 1 else {
      let names = candidates.map { "--\($0.name)" }.joined(separator: ", ")
      throw UsageError("--\(name) may mean any of \(names)")
    }
    return only
  }

  /// Short options may share a dash, until one that takes a value.
  private static func short(_ word: String, _ rest: inout ArraySlice<String>, _ table: [CommandLineOption])
    throws(UsageError) -> [CommandLineItem]
  {
    var items: [CommandLineItem] = []
    var letters = word.dropFirst()
    while let letter = letters.popFirst() {
      guard let option = table.first(where: { $0.short == letter }) else {
        throw UsageError("unknown option -\(letter)")
      }
      if option.value == .none {
        items.append(.option(option.name, value: nil))
        continue
      }
      var value = letters.isEmpty ? nil : String(letters)
      if option.value == .required {
        value = value ?? rest.popFirst()
        guard value?.isEmpty == false else { throw UsageError("-\(letter) needs a value") }
      }
      items.append(.option(option.name, value: value))
      break
    }
    return items
  }
}

/// A command line that cannot be understood.
public struct UsageError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
