import Linux
import Testing

@Suite struct CommandLineOptionTests {
  private static let table = [
    CommandLineOption("remote", .required), CommandLineOption("remove"),
    CommandLineOption("private-key", short: "p", .required),
    CommandLineOption("verbose", short: "v", .optional),
    CommandLineOption("help", short: "h"), CommandLineOption("quiet", short: "q"),
  ]

  private func read(_ words: String...) throws -> [CommandLineItem] {
    try CommandLineOption.read(words, Self.table)
  }

  @Test func `A value follows an equals sign or is the next word`() throws {
    #expect(try read("--remote=a=b") == [.option("remote", value: "a=b")])
    #expect(try read("--remote", "a", "b") == [.option("remote", value: "a"), .positional("b")])
    #expect(try read("-pkey") == [.option("private-key", value: "key")])
    #expect(try read("-p", "key") == [.option("private-key", value: "key")])
  }

  @Test func `An optional value is never the next word`() throws {
    #expect(try read("--verbose", "x") == [.option("verbose", value: nil), .positional("x")])
    #expect(try read("-v", "x") == [.option("verbose", value: nil), .positional("x")])
    #expect(try read("-vfile:info") == [.option("verbose", value: "file:info")])
  }

  @Test func `Options may be abbreviated as far as they are unique`() throws {
    #expect(try read("--remot", "a") == [.option("remote", value: "a")])
    #expect(try read("--hel", "--v=x") == [.option("help", value: nil), .option("verbose", value: "x")])
    #expect(throws: UsageError("--rem may mean any of --remote, --remove")) { try read("--rem") }
  }

  @Test func `Short options share a dash`() throws {
    #expect(
      try read("-qhvdbg") == [
        .option("quiet", value: nil), .option("help", value: nil), .option("verbose", value: "dbg"),
      ])
  }

  @Test func `After two dashes everything is positional`() throws {
    #expect(
      try read("a", "--", "--help", "-") == [.positional("a"), .positional("--help"), .positional("-")])
  }

  @Test(arguments: ["--nothing", "-x", "--help=1", "--remote", "--remote=", "-p", "--re", "--=x"])
  func refuses(word: String) {
    #expect(throws: UsageError.self) { try CommandLineOption.read([word], Self.table) }
  }
}

@Suite struct DaemonOptionTests {
  @Test func `The command line of ovs-ctl is understood`() throws {
    let words = [
      "--no-self-confinement", "-vconsole:emer", "-vsyslog:err", "-vfile:info", "--user", "root:0",
      "--no-chdir",
      "--log-file=/tmp/x.log", "--pidfile=/tmp/x.pid", "--detach", "--monitor", "--overwrite-pidfile",
      "--syslog-target=127.0.0.1:514",
    ]
    var options = DaemonOptions(program: "tester")
    for case .option(let name, let value) in try CommandLineOption.read(words, DaemonOptions.table) {
      #expect(try options.consume(name, value) == .consumed, "\(name)")
    }
    #expect(options.detach)
    #expect(options.isMonitored)
    #expect(options.staysInDirectory)
    #expect(options.replacesPIDFile)
    #expect(options.user?.user == 0)
    #expect(try options.consume("remote", "x") == .notMine)
    try Log.apply(specification: "info")
  }

  @Test func `Levels are set by module and destination`() throws {
    func levels(_ module: String) -> [String] {
      Log.levels().filter { $0.module == module }.map { "\($0.levels.console.name) \($0.levels.file.name)" }
    }
    try Log.apply(specification: "of-this-test:warn")
    #expect(levels("of-this-test") == ["warn warn"])
    try Log.apply(specification: "of-this-test:file:dbg")
    #expect(levels("of-this-test") == ["warn dbg"])
    try Log.apply(specification: "console of-this-test,off")
    #expect(levels("of-this-test") == ["off dbg"])
    try Log.apply(specification: "syslog:of-this-test:emer")
    try Log.apply(specification: "PATTERN:file:%m")
    try Log.apply(specification: "FACILITY:daemon")
    #expect(levels("of-this-test") == ["off dbg"])
    #expect(throws: UsageError.self) { try Log.apply(specification: "of-this-test:another:info") }
  }
}
