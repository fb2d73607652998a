import OVSDB

/// The `@NAME`s of one transaction: rows that are created in it, or were looked up with `get --id`.
final class SymbolTable {
  struct Symbol {
    /// The row's UUID: until the commit, one made up for it.
    var uuid = UUID.random()
    var isCreated = false
    var isStronglyReferenced = false
    var isWeaklyReferenced = false
  }

  private(set) var symbols: [String: Symbol] = [:]

  /// The row that a reference to `name` (with its `@`) means.
  func reference(_ name: String, from base: BaseType) -> UUID {
    var symbol = symbols[name] ?? Symbol()
    if base.isStrongReference { symbol.isStronglyReferenced = true }
    if base.isWeakReference { symbol.isWeaklyReferenced = true }
    symbols[name] = symbol
    return symbol.uuid
  }

  /// Gives a new row its name; returns the UUID that references to it use.
  func create(_ name: String, isRoot: Bool) throws(CommandError) -> UUID {
    var symbol = try undefined(name)
    symbol.isCreated = true
    // A row of a root table stays without being referenced.
    if isRoot { symbol.isStronglyReferenced = true }
    symbols[name] = symbol
    return symbol.uuid
  }

  /// Gives an existing row a name.
  func define(_ name: String, _ uuid: UUID) throws(CommandError) {
    _ = try undefined(name)
    if symbols[name] != nil {
      throw CommandError("row id \"\(name)\" specified on \"get\" command was used before it was defined")
    }
    symbols[name] = Symbol(uuid: uuid, isCreated: true, isStronglyReferenced: true)
  }

  private func undefined(_ name: String) throws(CommandError) -> Symbol {
    guard name.hasPrefix("@") else { throw CommandError("row id \"\(name)\" does not begin with \"@\"") }
    let symbol = symbols[name] ?? Symbol()
    if symbol.isCreated { throw CommandError("row id \"\(name)\" may only be specified on one --id option") }
    return symbol
  }

  /// Refuses names that stand for nothing; returns a warning for each row that will not last.
  func check() throws(CommandError) -> [String] {
    var warnings: [String] = []
    for (name, symbol) in symbols.sorted(by: { $0.key < $1.key }) {
      if !symbol.isCreated {
        throw CommandError(
          "row id \"\(name)\" is referenced but never created (e.g. with \"-- --id=\(name) create ...\")")
      }
      if symbol.isStronglyReferenced { continue }
      let reason = symbol.isWeaklyReferenced ? "only a weak reference to it" : "no reference to it"
      warnings.append(
        "row id \"\(name)\" was created but \(reason) was inserted, so it will not actually appear in the database"
      )
    }
    return warnings
  }
}
