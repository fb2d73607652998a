import Linux
import OVSDB

/// One command: its syntax and how it is carried out. Its explanation is in `CommandHelp`.
struct Command: Sendable {
  let name: String
  /// The arguments, as help shows them.
  let usage: String
  let arguments: ClosedRange<Int>
  let options: [OptionSyntax]
  let group: Group
  let execution: Execution

  enum Group: String, CaseIterable, Sendable {
    case general = "General commands"
    case bridge = "Bridge commands"
    case port = "Port commands"
    case interface = "Interface commands"
    case database = "Database commands"
    case management = "Controller, manager and TLS settings"
    case datapath = "Datapath and Auto Attach commands"
    case flow = "Flow table commands (of the running switch, as ovs-ofctl has them)"
    case file = "Database files"
    case runtime = "Commands to the running switch"
  }

  enum Execution: Sendable {
    /// Printed without asking anybody (`help`).
    case local
    /// Part of a database transaction: what it must see, and what it does.
    case transaction(Access, Prerequisites, Run)
    /// A request on a daemon's control socket, named by its method.
    case control(method: String)
    /// A request on a daemon's control socket: the method is the first argument.
    case anyControl
    /// Requests on a control socket as they are needed.
    case conversation(Conversation)
    /// Something with database files; no daemon is needed.
    case files(FileRun)
    /// Something else that an invocation does by itself.
    case alone(Alone)
  }

  enum Access: Sendable { case reads, writes }

  /// Adds the tables and columns the command will look at.
  typealias Prerequisites =
    @Sendable (inout Selection, Invocation.Request, DatabaseSchema) throws(CommandError) -> Void
  typealias Run = @Sendable (CommandContext, Invocation.Request) throws(CommandError) -> Void
  typealias Alone =
    @Sendable (Invocation, EventLoop, Terminal) throws(CommandError) -> Outcome
  typealias Conversation = @Sendable (ControlSession, Invocation.Request) throws(CommandError) -> Void

  typealias FileRun = @Sendable (FileCommandContext, Invocation.Request) throws(CommandError) -> Void

  /// The command whose name begins with `word`: some have two words, and the second is then taken from `rest`.
  static func fullName(_ word: String, _ rest: inout ArraySlice<String>) -> String {
    guard let second = rest.first, named("\(word) \(second)") != nil else { return word }
    rest.removeFirst()
    return "\(word) \(second)"
  }

  static func named(_ name: String) -> Command? { byName[name] }

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  /// Whether a daemon carries it out, not a database transaction.
  var asksDaemon: Bool {
    switch execution {
    case .control, .anyControl, .conversation: true
    case .local, .transaction, .files, .alone: false
    }
  }

  /// Whether it is about files, not about a database somebody serves.
  var isAboutFiles: Bool { if case .files = execution { true } else { false } }

  /// Whether `ovs-vsctl` has it too.
  var isFamiliar: Bool {
    guard case .transaction = execution else { return false }
    return true
  }

  /// Whether its options may also follow its name. `ovs-ofctl` takes them anywhere, and what these commands are about
  /// never begins with a dash.
  var takesFollowingOptions: Bool {
    switch execution {
    case .conversation, .alone: true
    default: group == .flow || group == .file
    }
  }

  /// `[--may-exist] add-br BRIDGE`.
  var synopsis: String {
    (options.map { "[\($0.usage)]" } + [name] + (usage.isEmpty ? [] : [usage])).joined(separator: " ")
  }
}
