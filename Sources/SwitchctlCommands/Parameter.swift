/// One argument of a command, read from its usage: completion and listings follow what help shows.
struct Parameter: Equatable {
  /// `BRIDGE`, `COLUMN[:KEY]=VALUE`.
  let name: String
  var isOptional = false
  var isRepeated = false

  /// `BRIDGE [PARENT VLAN]`, `TABLE RECORD COLUMN...`, `TABLE [COLUMN[:KEY]OPERATOR VALUE]...`.
  static func all(in usage: String) -> [Parameter] {
    var parameters: [Parameter] = []
    var rest = usage[...]
    while let first = rest.first {
      if first == " " {
        rest.removeFirst()
      } else if first == "[", let end = closing(rest), end == rest.endIndex || " .".contains(rest[end]) {
        let content = rest[rest.index(after: rest.startIndex)..<rest.index(before: end)]
        rest = rest[end...]
        let isRepeated = takeDots(&rest)
        // Several words in brackets are one argument each, unless they repeat together.
        let names = isRepeated ? [content] : content.split(separator: " ")
        parameters += names.map { Parameter(name: String($0), isOptional: true, isRepeated: isRepeated) }
      } else {
        var name = rest.prefix { $0 != " " }
        rest = rest[name.endIndex...]
        let isRepeated = name.hasSuffix("...")
        if isRepeated { name.removeLast(3) }
        parameters.append(Parameter(name: String(name), isRepeated: isRepeated))
      }
    }
    return parameters
  }

  /// Just behind the bracket that closes the one `text` begins with.
  private static func closing(_ text: Substring) -> Substring.Index? {
    var depth = 0
    for index in text.indices {
      if text[index] == "[" { depth += 1 }
      if text[index] == "]" { depth -= 1 }
      if depth == 0 { return text.index(after: index) }
    }
    return nil
  }

  private static func takeDots(_ text: inout Substring) -> Bool {
    guard text.hasPrefix("...") else { return false }
    text.removeFirst(3)
    return true
  }
}

extension Command {
  var parameters: [Parameter] { Parameter.all(in: usage) }
}

extension Command {
  /// What the argument at a place, from 0, can be; several, if some before it may be left out or repeated.
  func parameters(at index: Int) -> [Parameter] {
    let all = parameters
    return all.indices.filter { place in
      let first = all[..<place].filter { !$0.isOptional }.count
      let isOpen = all[...place].contains(where: \.isRepeated)
      return index >= first && (isOpen || index <= place)
    }.map { all[$0] }
  }
}
