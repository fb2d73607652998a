/// The schema's names in Swift's style: words that begin with a capital letter, without what stood between them.
enum SwiftName {
  /// `Open_vSwitch` → `OpenVSwitch`
  static func type(_ name: String) -> String { words(name).map(capitalized).joined() }

  /// `cur_cfg` → `curCfg`, `in-band` → `inBand`; without backticks also where it is a keyword.
  static func bareMember(_ name: String) -> String {
    let words = words(name)
    let joined = words.prefix(1).joined() + words.dropFirst().map(capitalized).joined()
    return joined.first?.isNumber == false ? joined : "_" + joined
  }

  /// The same, for use where a keyword would be taken for one.
  static func member(_ name: String) -> String {
    let bare = bareMember(name)
    return keywords.contains(bare) ? "`\(bare)`" : bare
  }

  private static func words(_ name: String) -> [Substring] {
    name.split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
  }

  private static func capitalized(_ word: Substring) -> String {
    word.prefix(1).uppercased() + word.dropFirst()
  }

  /// Those that cannot name a property or a case.
  private static let keywords: Set<String> = [
    "as", "associatedtype", "break", "case", "catch", "class", "continue", "default", "defer", "deinit", "do",
    "else", "enum", "extension", "fallthrough", "false", "fileprivate", "for", "func", "guard", "if",
    "import",
    "in", "init", "inout", "internal", "is", "let", "nil", "operator", "precedencegroup", "private",
    "protocol",
    "public", "repeat", "rethrows", "return", "self", "static", "struct", "subscript", "super", "switch",
    "throw", "throws", "true", "try", "typealias", "var", "where", "while",
  ]
}
