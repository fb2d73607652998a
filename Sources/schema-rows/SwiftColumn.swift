/// One column as a property.
struct SwiftColumn {
  let name: String
  private let column: Schema.Column

  init(_ name: String, _ column: Schema.Column) {
    self.name = name
    self.column = column
  }

  var property: [String] {
    let member = SwiftName.member(name)
    return [
      "  /// `\(name)`\(notes.map { ", \($0)" }.joined()).",
      "  public var \(member): \(type) {",
      "    get { self[.\(member)] }",
      "    set { self[.\(member)] = newValue }",
      "  }",
    ]
  }

  /// The fixed strings of a set, or of a map's keys.
  var choices: [String] { column.type.key.choices }

  /// The name of their enum. Swift keeps some names for itself.
  var choiceType: String {
    let name = SwiftName.type(name)
    return ["Type", "Protocol", "Self", "Column"].contains(name) ? name + "Choice" : name
  }

  private var type: String {
    let type = column.type
    let key = choices.isEmpty ? atom(type.key) : choiceType
    if let value = type.value { return "[\(key): \(atom(value))]" }
    if type.maximum != 1 { return "[\(key)]" }
    return type.minimum == 0 ? "\(key)?" : key
  }

  private func atom(_ type: Schema.BaseType) -> String {
    switch type.type {
    case .integer: "Int64"
    case .real: "Double"
    case .boolean: "Bool"
    case .string: "String"
    case .uuid: type.table.map { "RowReference<\(SwiftName.type($0))Row>" } ?? "UUID"
    }
  }

  /// What the type does not say.
  private var notes: [String] {
    let type = column.type
    var notes: [String] = []
    for (part, what) in [(type.key, type.value == nil ? "" : "keys "), (type.value, "values ")] {
      guard let part else { continue }
      if let range = range(part) { notes.append(what + range) }
      if part.isWeak { notes.append("weak") }
    }
    if type.maximum != 1 {
      if let maximum = type.maximum { notes.append("at most \(maximum)") }
      if type.minimum > 0 { notes.append("at least \(type.minimum)") }
    }
    if column.mutable == false { notes.append("set by an insert only") }
    if column.ephemeral == true { notes.append("not kept on disk") }
    return notes
  }

  private func range(_ type: Schema.BaseType) -> String? {
    switch (type.minimum, type.maximum) {
    case (nil, nil): nil
    case (let low?, nil): "from \(low)"
    case (nil, let high?): "up to \(high)"
    case (let low?, let high?): "\(low) to \(high)"
    }
  }
}
