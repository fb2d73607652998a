/// Words inside an argument such as `other_config:"a:b"=c`.
enum Token {
  static func isDelimiter(_ byte: UInt8) -> Bool { ":=, []{}!<>".utf8.contains(byte) }

  /// Takes the next word off `text`: up to an unquoted delimiter. A backslash keeps the character after it from
  /// delimiting; quotes stay part of the word.
  static func take(from text: inout Substring) throws(CommandError) -> String {
    let whole = text
    var bytes = text.utf8
    var word: [UInt8] = []
    var isQuoted = false
    while let byte = bytes.first {
      if byte == UInt8(ascii: "\\") {
        bytes.removeFirst()
        if isQuoted { word.append(byte) }
        guard let next = bytes.popFirst() else {
          throw CommandError("\(whole): backslash at end of argument")
        }
        word.append(next)
        continue
      }
      if !isQuoted, isDelimiter(byte) { break }
      bytes.removeFirst()
      word.append(byte)
      if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
    }
    if isQuoted { throw CommandError("\(whole): quoted string extends past end of argument") }
    text = Substring(bytes)
    return String(decoding: word, as: UTF8.self)
  }

  static func skipSpaces(_ text: inout Substring) {
    while let first = text.first, first.isWhitespace { text.removeFirst() }
  }
}
