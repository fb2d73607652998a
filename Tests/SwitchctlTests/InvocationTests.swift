import OVSDBTesting
import Testing

@testable import SwitchctlCommands

struct InvocationTests {
  func error(_ words: [String]) -> CommandError? {
    do throws(CommandError) {
      _ = try Invocation(words)
      return nil
    } catch { return error }
  }

  @Test func optionsMixBeforeTheFirstCommand() throws {
    let invocation = try Invocation([
      "--may-exist", "--no-wait", "-t", "5", "--db=unix:/x", "--format", "json", "add-br", "br0",
    ])
    #expect(invocation.options.timeout == 5)
    #expect(!invocation.options.waitsForSwitch)
    #expect(invocation.options.database == "unix:/x")
    #expect(invocation.options.style.format == .json)
    #expect(invocation.requests.map(\.command.name) == ["add-br"])
    #expect(invocation.requests[0].has("may-exist"))
    #expect(invocation.requests[0].arguments == ["br0"])
  }

  @Test func eachCommandHasItsOwnOptions() throws {
    let invocation = try Invocation([
      "--if-exists", "del-port", "p1", "--", "--may-exist", "add-port", "br0", "p1", "--", "--id=@m",
      "create", "Mirror",
      "name=m",
    ])
    #expect(invocation.requests.map(\.command.name) == ["del-port", "add-port", "create"])
    #expect(invocation.requests.map { $0.options.keys.sorted() } == [["if-exists"], ["may-exist"], ["id"]])
    #expect(invocation.requests[2].value("id") == "@m")
  }

  @Test func letterBundlesAndAttachedArguments() throws {
    let invocation = try Invocation(["-t7", "-fcsv", "-dbare", "list-br"])
    #expect(invocation.options.timeout == 7)
    #expect(invocation.options.style == OutputStyle(format: .csv, cells: .bare))
    #expect(try Invocation(["-h"]).helpTopic == "")
    #expect(try Invocation(["-V"]).options.wantsVersion)
  }

  @Test(arguments: [
    [], ["--"], ["--no-wait"], ["nosuch"], ["add-br"], ["add-br", "a", "b", "c", "d"],
    ["--bogus", "list-br"],
    ["--timeout"], ["--timeout=0", "list-br"], ["--timeout=-1", "list-br"],
    ["--timeout=99999999999999999999", "list-br"],
    ["--format=xml", "list-br"], ["--may-exist", "list-br"], ["--may-exist=yes", "add-br", "x"],
    ["list-br", "--", "--may-exist"], ["-Z", "list-br"], ["--no", "list-br"],
    ["--", "--id", "create", "T", "a=b"],
    ["list-br", "--real"],
  ]) func wrongUsageExitsWithTwo(_ words: [String]) {
    #expect(error(words)?.exitStatus == 2)
    #expect(error(words)?.message.isEmpty == false)
  }

  @Test func wrongNamesAreSuggested() {
    #expect(error(["add-prot", "br0", "p"])?.sentence.contains("did you mean \"add-port\"?") == true)
    #expect(error(["--no-wiat", "list-br"])?.sentence.contains("did you mean \"--no-wait\"?") == true)
  }

  @Test func helpForEverything() throws {
    #expect(try Invocation(["--help"]).helpTopic == "")
    #expect(try Invocation(["help"]).helpTopic == "")
    #expect(try Invocation(["help", "add-port"]).helpTopic == "add-port")
    #expect(try Invocation(["add-port", "--help"]).helpTopic == "add-port")
    #expect(try Invocation(["--help", "add-port"]).helpTopic == "add-port")
    #expect(error(["help", "add-prot"])?.sentence.contains("add-port") == true)
    for command in Command.all {
      let help = try #require(CommandHelp.byName[command.name], "\(command.name) is not explained")
      #expect(!help.summary.isEmpty && !help.paragraph.isEmpty)
      #expect(help.example.contains("switchctl") && help.example.contains(command.name))
      let page = Help.page("switchctl", command)
      #expect(page.contains("usage:") && page.contains(help.example))
      #expect(Help.overview("switchctl").contains("  \(command.name)"))
    }
    #expect(CommandHelp.byName.count == Command.all.count)
  }

  /// The man page explains every command with its present options and arguments.
  @Test func manPageIsComplete() throws {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let scratch = try ScratchDirectory()
    let page = try scratch.run(["cat", "/\(root)/etc/man/switchctl.8"]).output
    let lines = Set(page.split(separator: "\n").map { $0.filter { $0 != "\\" } })
    for command in Command.all { #expect(lines.contains(".B \(command.synopsis)"), "\(command.name)") }
    for option in GlobalOptions.table.map(\.syntax) {
      #expect(lines.contains { $0.hasPrefix(".B ") && $0.hasSuffix(option.usage) }, "\(option.name)")
    }
  }

  /// An example that does not parse helps nobody.
  @Test func examplesParse() throws {
    for (name, help) in CommandHelp.byName {
      let command = help.example.split(separator: "&").first.map(String.init) ?? ""
      let words = command.split(separator: " ").map(String.init)
      let invocation = try Invocation(Array(words.dropFirst()))
      #expect(
        invocation.helpTopic != nil || invocation.requests.contains { $0.command.name == name }, "\(name)")
    }
  }

  /// Options of one name take the same kind of argument everywhere: before the first command they are looked up
  /// without knowing it.
  @Test func optionsAgreeAcrossCommands() {
    var known: [String: OptionSyntax] = [:]
    for option in GlobalOptions.table.map(\.syntax) + GlobalOptions.accepted + Command.all.flatMap(\.options)
    {
      if let other = known[option.name] {
        #expect((other.argument == nil) == (option.argument == nil), "\(option.name)")
      }
      known[option.name] = option
    }
    let global = (GlobalOptions.table.map(\.syntax) + GlobalOptions.accepted).map(\.name)
    #expect(Set(global).isDisjoint(with: Command.all.flatMap(\.options).map(\.name)))
    #expect(Set(global).count == global.count)
  }

  @Test func commandsOnFlowsTakeOptionsBehindTheirName() throws {
    let invocation = try Invocation([
      "--bundle", "add-flows", "br0", "-", "-O", "OpenFlow13", "--", "dump-flows", "br0", "--sort",
      "--no-names",
    ])
    #expect(invocation.requests.map(\.arguments) == [["br0", "-"], ["br0"]])
    #expect(invocation.requests[0].has("bundle"))
    #expect(invocation.requests[1].has("sort") && invocation.requests[1].value("sort") == nil)
    #expect(invocation.requests.allSatisfy { $0.command.asksDaemon })
    #expect(error(["dump-flows", "br0", "--strict"])?.exitStatus == 2)
    #expect(error(["trace", "br0", "--pcap"])?.exitStatus == 2)
  }
}
