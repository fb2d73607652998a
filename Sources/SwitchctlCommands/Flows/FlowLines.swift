import Flow

/// Changes to flows, one per line, as `add-flows` reads them: understood before anything is sent, so that what is wrong
/// is said with its file and line while nothing was changed yet.
struct FlowLines {
  /// The file they are from; nil: the command line.
  var file: String?
  /// Comments and empty lines too: lines keep their numbers.
  var lines: [String] = []

  /// A flow from the command line, or lines from standard input where it is "-".
  ///
  /// - Parameter verb: what is done with each: "add", "delete_strict".
  static func argument(_ argument: String, verb: String, _ reader: FlowLineReader) throws(CommandError)
    -> FlowLines
  {
    if argument == "-" { return try FlowLines(file: argument, verb: verb, reader) }
    let line = "\(verb) \(argument)"
    _ = try reader.modification(line)
    return FlowLines(lines: [line])
  }

  /// - Parameter verb: put before each line; nil where lines have verbs of their own.
  init(file path: String, verb: String? = nil, _ reader: FlowLineReader) throws(CommandError) {
    file = LineFile.name(path)
    var lines: [String] = []
    try LineFile.read(path) { line, number throws(CommandError) in
      var line = line
      if let verb, !FlowLineReader.isBlank(line) { line = "\(verb) \(line)" }
      _ = try reader.modification(line, at: (path, number))
      lines.append(line)
    }
    self.lines = lines
  }

  init(lines: [String]) { self.lines = lines }
}

/// Reads flows, and says where what is wrong with them is.
struct FlowLineReader {
  private let parser: FlowParser
  private let place: Place

  /// Where the line at hand is from; for warnings.
  private final class Place {
    var prefix = ""
  }

  /// - Parameter warn: told of conditions that were taken out of a match.
  init(ports: PortNameTable?, warn: @escaping (String) -> Void) {
    let place = Place()
    self.place = place
    parser = FlowParser(ports: ports) { warn(place.prefix + $0) }
  }

  /// What a line says; nil: nothing.
  func modification(_ line: String, at origin: (file: String, line: Int)? = nil) throws(CommandError)
    -> FlowModification?
  {
    place.prefix = origin.map { "\(LineFile.name($0.file)): line \($0.line): " } ?? ""
    do throws(FlowError) { return try parser.modification(line: line) } catch {
      throw CommandError(place.prefix + error.description)
    }
  }

  /// A line of a file that says which flows there are.
  func flow(_ line: String, at origin: (file: String, line: Int)? = nil) throws(CommandError)
    -> FlowDescription?
  {
    guard let modification = try modification(line, at: origin) else { return nil }
    guard modification.command == .add else {
      throw CommandError(
        place.prefix + "this file says which flows there are; modifications and deletions have no place in it"
      )
    }
    return modification.flow
  }

  /// Whether there is nothing in a line but white space or a comment.
  static func isBlank(_ line: String) -> Bool {
    guard let first = line.utf8.first(where: { !($0 == 0x20 || $0 >= 0x09 && $0 <= 0x0D) }) else {
      return true
    }
    return first == UInt8(ascii: "#")
  }
}
