import JSONRPC
import Linux

// Databases that come, go, and get another schema while clients are connected. A client that said it wants to know
// (`set_db_change_aware`) is told; any other is disconnected, and finds out when it is back (ovsdb-server(7) §4.1.18).
extension DatabaseServer {
  /// Serves a database.
  public func add(_ database: Database) throws(StorageError) {
    guard databases[database.name] == nil else {
      throw StorageError("a database named \(database.name) is served already")
    }
    databases[database.name] = database
    database.isDurable = isDurable
    database.storage?.attach(loop, database)
    updateCatalog()
    disconnectUnaware()
  }

  /// Serves a database no longer, and gives up its file.
  public func remove(_ name: String) throws(StorageError) {
    guard let database = databases[name], name != catalog.name else {
      throw StorageError("\(name) is not a database that can be removed")
    }
    databases[name] = nil
    for session in sessions.values { session.forget(database) }
    updateCatalog()
    disconnectUnaware()
    database.storage?.close()
  }

  /// Gives a database another schema, and with it another file; on an error everything is as before
  /// (ovsdb-server(7) §4.1.19).
  func convert(_ database: Database, to schema: DatabaseSchema) throws(OVSDBError) {
    guard schema.name == database.name else {
      throw .syntax("the schema is that of \(schema.name), and the database is \(database.name)")
    }
    guard !database.isReadOnly else {
      throw OVSDBError("not allowed", "the database \(database.name) can only be read")
    }
    let converted = Database(try SchemaConversion.converted(database, to: schema), database.storage)
    converted.isDurable = database.isDurable
    do throws(StorageError) { try database.storage?.rewrite(converted) } catch {
      throw OVSDBError("I/O error", "the database was not converted: \(error)")
    }
    database.storage?.attach(loop, converted)
    databases[database.name] = converted
    for session in sessions.values { session.forget(database) }
    updateCatalog()
    disconnectUnaware()
  }

  /// Makes the catalog's rows those of the databases served.
  func updateCatalog() {
    if let changes = ServerCatalog.describe(databases.values.sorted { $0.name < $1.name }, in: catalog) {
      committed(changes, catalog)
    }
  }

  /// At the end of the turn, when replies that are under way have been sent.
  private func disconnectUnaware() {
    let unaware = sessions.values.filter { !$0.isChangeAware }
    loop.later { [weak self] in
      guard let self else { return }
      for session in unaware where !session.connection.isClosed && !session.isChangeAware {
        Log.debug("ovsdb", "\(session.connection.name): disconnected, because the databases have changed")
        session.end()
        session.connection.close()
        sessions.removeValue(forKey: ObjectIdentifier(session.connection))
      }
    }
  }
}

extension Session {
  /// Ends what the session has to do with a database.
  fileprivate func forget(_ database: Database) {
    for (id, monitor) in monitors where monitor.plan.database === database {
      monitors[id] = nil
      server.remove(monitor)
      if isChangeAware { connection.notify("monitor_canceled", [id]) }
    }
    for (id, transaction) in waiting where transaction.execution.database === database { cancel(id) }
  }
}
