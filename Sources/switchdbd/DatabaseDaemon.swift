import Glibc
import JSONRPC
import Linux
import OVSDB

/// `switchdbd` from start to end.
final class DatabaseDaemon {
  private let options: Options
  private let daemon: Daemon
  private let loop: EventLoop
  private let server: DatabaseServer
  private var control: ControlServer?
  private var signals: Signals?
  private var command: ShellCommand?
  private var status: Int32 = 0

  /// Runs until told to end; the process's exit status.
  static func run(_ options: Options) -> Int32 {
    do throws(StartError) {
      let daemon = try DatabaseDaemon(options)
      daemon.loop.run()
      daemon.stop()
      return daemon.status
    } catch {
      printError("\(options.program): \(error)")
      return 1
    }
  }

  private init(_ options: Options) throws(StartError) {
    self.options = options
    do throws(SystemError) {
      daemon = try Daemon.start(options.daemon)
      loop = try EventLoop()
    } catch { throw StartError(error.description) }
    server = DatabaseServer(loop)
    server.isDurable = options.isDurable
    do throws(StartError) {
      try prepare()
      try openDatabases()
      try listen()
      try takeCommands()
      try runCommand()
    } catch {
      stop()
      throw error
    }
    daemon.ready()
    Log.info("switchdbd", "serving \(server.databases.keys.sorted().joined(separator: ", "))")
  }

  /// The server needs nothing of root but to read its keys, and whatever comes from outside is read after this.
  private func prepare() throws(StartError) {
    server.tls = options.tls.isEmpty ? .switchDatabase : options.tls
    do throws(TLSError) { try server.loadCredentials() } catch { throw StartError(error.description) }
    do throws(SystemError) {
      for file in options.files { try createDirectories(directoryName(file), for: daemon.options.user) }
      _ = try daemon.dropPrivileges()
    } catch { throw StartError(error.description) }
    if !options.isUnconfined { server.confineSockets(to: daemon.options.runDirectory) }
  }

  private func openDatabases() throws(StartError) {
    do throws(StorageError) {
      for file in options.files {
        try server.open(file: file) { () throws(StorageError) in try SchemaFile.load(options.schema) }
      }
    } catch { throw StartError(error.description) }
  }

  private func listen() throws(StartError) {
    do throws(SystemError) {
      for remote in options.remotes { try server.add(remote) }
      guard options.remotes.isEmpty else { return }
      try server.add(RemoteSource(.listenUnix(path: daemon.options.runDirectory + "/db.sock")))
      try server.add(.managers, isOptional: true)
    } catch { throw StartError(error.description) }
  }

  private func takeCommands() throws(StartError) {
    do throws(SystemError) {
      if let path = daemon.options.controlSocket {
        let control = try ControlServer(loop, path: path, program: options.program) { [loop] in loop.stop() }
        for command in DatabaseCommands.table(server) { control.add(command) }
        self.control = control
      }
      signals = try Signals(loop, [SIGTERM, SIGINT, SIGHUP, SIGCHLD]) { [unowned self] number in
        handle(number)
      }
    } catch { throw StartError(error.description) }
  }

  private func handle(_ signal: Int32) {
    switch signal {
    case SIGHUP:
      do throws(SystemError) { try Log.reopen() } catch { Log.error("switchdbd", error.description) }
    case SIGCHLD:
      guard let ended = command?.ended() else { return }
      status = ended.code == 0 ? 0 : 1
      command = nil
      loop.stop()
    default: loop.stop()
    }
  }

  private func runCommand() throws(StartError) {
    guard let text = options.command else { return }
    do throws(SystemError) { command = try ShellCommand(text) } catch { throw StartError(error.description) }
  }

  /// The pid file goes last, since whoever waits for that may start another one; and all that watches descriptors goes
  /// before the event loop does.
  private func stop() {
    command?.end()
    control?.close()
    control = nil
    server.close()
    signals = nil
    daemon.stop()
  }
}

/// Why the daemon does not start: one sentence.
struct StartError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
