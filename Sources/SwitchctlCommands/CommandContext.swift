import OVSDB

/// What the commands of one attempt at a transaction share.
final class CommandContext {
  let copy: WorkingCopy
  let symbols = SymbolTable()
  /// The one row of the Open_vSwitch table; nil while the database has none.
  let root: Row?
  /// Interfaces whose outcome the user wants to hear of.
  private(set) var expectedInterfaces: [Row] = []
  /// Set by a command whose condition is not met yet.
  var mustTryAgain = false
  var output = CommandOutput()
  /// What a person should know about commands that nevertheless do what they say.
  var advice: [String] = []

  private var cachedView: SwitchView?

  /// - Parameter writes: whether a command changes something; then a missing root row is inserted.
  init(_ copy: WorkingCopy, writes: Bool) {
    self.copy = copy
    root = copy.rows("Open_vSwitch").first ?? (writes ? copy.insert("Open_vSwitch") : nil)
  }

  var schema: DatabaseSchema { copy.schema }

  /// Bridges, ports and interfaces by name.
  var view: SwitchView {
    if let cachedView { return cachedView }
    let view = SwitchView(copy, root)
    cachedView = view
    return view
  }

  /// The next command reads bridges, ports and interfaces anew.
  func invalidateView() { cachedView = nil }

  /// Makes the outcome of setting up a new interface part of the invocation's.
  func expect(_ interface: Row) { expectedInterfaces.append(interface) }
}

/// What a command prints: text, a table, or the UUID of a row that gets it at the commit.
struct CommandOutput {
  var text = ""
  var table: OutputTable?
  var insertedRow: Row?

  mutating func line(_ line: String) { text += line + "\n" }
}
