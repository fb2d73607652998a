import Glibc
import JSONRPC
import Linux
import OVSDB

/// `switchdbd` from start to end.
final class DatabaseDaemon {
  private let daemon: Daemon
  private let loop: EventLoop
  private let server: DatabaseServer
  private var control: ControlServer?
  private var signals: Signals?

  /// Runs until told to end; the process's exit status.
  static func run(_ options: Options) -> Int32 {
    do throws(StartError) {
      let daemon = try DatabaseDaemon(options)
      daemon.loop.run()
      daemon.stop()
      return 0
    } catch {
      printError("switchdbd: \(error)")
      return 1
    }
  }

  private init(_ options: Options) throws(StartError) {
    do throws(SystemError) {
      daemon = try Daemon.start(options.daemon)
      loop = try EventLoop()
    } catch { throw StartError(error.description) }
    server = DatabaseServer(loop)
    server.isDurable = options.isDurable
    do throws(StartError) {
      let files = options.files.isEmpty ? [Options.defaultFile] : options.files
      try dropPrivileges(files)
      try openDatabases(files, options)
      try listen(options)
    } catch {
      stop()
      throw error
    }
    daemon.ready()
    Log.info("switchdbd", "serving \(server.databases.keys.sorted().joined(separator: ", "))")
  }

  /// The server needs nothing of root, and whatever comes from outside is read after this.
  private func dropPrivileges(_ files: [String]) throws(StartError) {
    do throws(SystemError) {
      for file in files { try createDirectories(directoryName(file), for: daemon.options.user) }
      _ = try daemon.dropPrivileges()
    } catch { throw StartError(error.description) }
  }

  private func openDatabases(_ files: [String], _ options: Options) throws(StartError) {
    do throws(StorageError) {
      for file in files {
        try server.open(file: file) { () throws(StorageError) in try SchemaFile.load(options.schema) }
      }
    } catch { throw StartError(error.description) }
  }

  private func listen(_ options: Options) throws(StartError) {
    let socket = Remote.listenUnix(path: daemon.options.runDirectory + "/db.sock")
    do throws(SystemError) {
      for remote in options.remotes.isEmpty ? [socket] : options.remotes { try server.listen(on: remote) }
      if let path = daemon.options.controlSocket {
        let control = try ControlServer(loop, path: path, program: "switchdbd") { [loop] in loop.stop() }
        for command in commands() { control.add(command) }
        self.control = control
      }
      signals = try Signals(loop, [SIGTERM, SIGINT, SIGHUP]) { [loop] number in
        guard number == SIGHUP else { return loop.stop() }
        do throws(SystemError) { try Log.reopen() } catch { Log.error("switchdbd", error.description) }
      }
    } catch { throw StartError(error.description) }
  }

  private func stop() {
    control?.close()
    server.close()
    daemon.stop()
  }

  private func commands() -> [ControlCommand] {
    let server = self.server
    return [
      ControlCommand("ovsdb-server/list-dbs") { _ throws(ControlError) in
        server.databases.keys.sorted().map { $0 + "\n" }.joined()
      },
      ControlCommand("ovsdb-server/list-remotes") { _ throws(ControlError) in
        server.remotes.map { "\($0)\n" }.joined()
      },
      ControlCommand("ovsdb-server/add-remote", usage: "REMOTE", arguments: 1...1) {
        arguments throws(ControlError) in
        let remote = try Self.remote(arguments[0])
        do throws(SystemError) { try server.listen(on: remote) } catch { throw ControlError("\(error)\n") }
        return ""
      },
      ControlCommand("ovsdb-server/remove-remote", usage: "REMOTE", arguments: 1...1) {
        arguments throws(ControlError) in
        guard server.stopListening(on: try Self.remote(arguments[0])) else {
          throw ControlError("\(arguments[0]) is not a remote of this server\n")
        }
        return ""
      },
      ControlCommand(deferred: "ovsdb-server/compact", usage: "[DB]", arguments: 0...1) { arguments, reply in
        server.compact(arguments.first) { error in
          error.map { reply.fail("\($0)\n") } ?? reply.succeed("")
        }
      },
      ControlCommand("ovsdb-server/reconnect") { _ throws(ControlError) in
        server.disconnectAll()
        return ""
      },
    ]
  }

  private static func remote(_ text: String) throws(ControlError) -> Remote {
    do throws(RemoteError) {
      let remote = try Remote(text)
      guard remote.isPassive else { throw RemoteError("\(text): only punix: and ptcp: are accepted") }
      return remote
    } catch { throw ControlError("\(error)\n") }
  }
}

/// Why the daemon does not start: one sentence.
struct StartError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
