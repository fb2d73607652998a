import JSONRPC
import Linux

/// What the control socket of a database server understands beside the standard commands: those of ovsdb-server(1),
/// "Runtime Management Commands", that are about standalone databases, with its sentences where scripts read them.
public enum DatabaseCommands {
  public static func table(_ server: DatabaseServer) -> [ControlCommand] {
    databases(server) + remotes(server) + upkeep(server)
  }

  private static func databases(_ server: DatabaseServer) -> [ControlCommand] {
    [
      ControlCommand("ovsdb-server/list-dbs") { _ throws(ControlError) in
        server.databases.keys.sorted().map { $0 + "\n" }.joined()
      },
      ControlCommand("ovsdb-server/add-db", usage: "FILE", arguments: 1...1) {
        arguments throws(ControlError) in
        do throws(StorageError) {
          try server.open(file: arguments[0]) { () throws(StorageError) in
            throw StorageError("I/O error: \(arguments[0]): open failed (No such file or directory)")
          }
        } catch { throw ControlError("\(error)\n") }
        return ""
      },
      ControlCommand("ovsdb-server/remove-db", usage: "DB", arguments: 1...1) {
        arguments throws(ControlError) in
        guard server.databases[arguments[0]] != nil else {
          throw ControlError("Failed to find the database.\n")
        }
        do throws(StorageError) { try server.remove(arguments[0]) } catch { throw ControlError("\(error)\n") }
        return ""
      },
      ControlCommand("ovsdb-server/get-db-storage-status", usage: "DB", arguments: 1...1) {
        arguments throws(ControlError) in
        guard let database = server.databases[arguments[0]] else {
          throw ControlError("Failed to find the database.\n")
        }
        return "status: \(database.storage?.failure?.description ?? "ok")\n"
      },
      ControlCommand("ovsdb-server/sync-status") { _ throws(ControlError) in "state: active\n" },
    ]
  }

  private static func remotes(_ server: DatabaseServer) -> [ControlCommand] {
    [
      ControlCommand("ovsdb-server/list-remotes") { _ throws(ControlError) in
        server.remotes.map { "\($0)\n" }.sorted().joined()
      },
      ControlCommand("ovsdb-server/add-remote", usage: "REMOTE", arguments: 1...1) {
        arguments throws(ControlError) in
        let source = try source(arguments[0])
        do throws(SystemError) { try server.add(source) } catch { throw ControlError("\(error)\n") }
        return ""
      },
      ControlCommand("ovsdb-server/remove-remote", usage: "REMOTE", arguments: 1...1) {
        arguments throws(ControlError) in
        guard server.remove(try source(arguments[0])) else { throw ControlError("no such remote\n") }
        return ""
      },
      ControlCommand("ovsdb-server/reconnect") { _ throws(ControlError) in
        server.disconnectAll()
        return ""
      },
    ]
  }

  private static func upkeep(_ server: DatabaseServer) -> [ControlCommand] {
    [
      ControlCommand(deferred: "ovsdb-server/compact", usage: "[DB]", arguments: 0...1) { arguments, reply in
        server.compact(arguments.first) { error in
          error.map { reply.fail("\($0)\n") } ?? reply.succeed("")
        }
      },
      ControlCommand("ovsdb-server/memory-trim-on-compaction", usage: "on|off", arguments: 1...1) {
        arguments throws(ControlError) in
        guard ["on", "off"].contains(arguments[0]) else { throw ControlError("invalid argument\n") }
        server.trimsMemory = arguments[0] == "on"
        return ""
      },
      ControlCommand("memory/show") { _ throws(ControlError) in
        server.census.map { "\($0.name):\($0.count)" }.joined(separator: " ") + "\n"
      },
    ]
  }

  private static func source(_ text: String) throws(ControlError) -> RemoteSource {
    do throws(RemoteError) { return try RemoteSource(text) } catch { throw ControlError("\(error)\n") }
  }
}
