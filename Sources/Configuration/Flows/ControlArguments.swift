import JSONRPC

/// A control command's arguments: words, and options among them.
struct ControlArguments {
  let command: String
  private(set) var words: [String] = []
  private var options: [String: String] = [:]

  /// - Parameters:
  ///   - known: the options there are, without dashes.
  ///   - wordCount: how many words there have to be.
  ///   - leading: options stand before this word only (from 0): what follows may look like one.
  init(
    _ command: String, _ arguments: [String], options known: Set<String>, words wordCount: ClosedRange<Int>,
    leading: Int = .max
  ) throws(ControlError) {
    self.command = command
    for argument in arguments {
      guard argument.hasPrefix("-"), words.count <= leading else {
        words.append(argument)
        continue
      }
      let (name, value) = Self.split(argument == "-fjson" ? "--format=json" : argument)
      guard known.contains(name) else {
        throw ControlError("\(command) does not understand \"\(printable(argument))\"\n")
      }
      options[name] = value
    }
    guard wordCount.contains(words.count) else {
      throw ControlError(
        words.count < wordCount.lowerBound
          ? "\(command) needs \(wordCount.lowerBound == 1 ? "the name of a bridge" : "more arguments")\n"
          : "\(command) does not understand \"\(printable(words[wordCount.upperBound]))\"\n")
    }
  }

  private static func split(_ option: String) -> (String, String) {
    let text = option.drop { $0 == "-" }
    guard let equals = text.firstIndex(of: "=") else { return (String(text), "") }
    return (String(text[..<equals]), String(text[text.index(after: equals)...]))
  }

  var bridge: String { words[0] }
  /// What is said beside the bridge.
  var subject: String? { words.count > 1 ? words[1] : nil }

  func has(_ option: String) -> Bool { options[option] != nil }
  func value(_ option: String) -> String? { options[option] }
  var wantsJSON: Bool { options["format"] == "json" }
}

/// Text a user wrote, short enough to be quoted.
func quoted(_ text: String) -> String { "\"\(printable(text))\"" }
