import JSONRPC
import Linux

/// How a remote is treated, as far as something was said about it.
struct RemoteSettings: Equatable {
  /// Milliseconds of silence until the peer is asked for an echo, 0 for never.
  var inactivityProbe: Int?
  /// The longest pause between attempts, in milliseconds.
  var maximumBackoff: Int?
  var isReadOnly = false
  /// Network control, unless something else is wanted (ovs-vswitchd.conf.db(5), Manager, `other_config:dscp`).
  var dscp = 48
}

/// The row that describes a remote, and takes its status.
struct RemoteRow {
  let database: Database
  let table: Table
  let uuid: UUID
}

/// A remote that is wanted.
struct WantedRemote {
  let remote: Remote
  var settings = RemoteSettings()
  var row: RemoteRow?
}

/// What a column of a database says of remotes, and in which tables.
struct RemoteColumn {
  private(set) var wanted: [WantedRemote] = []
  private(set) var tables: Set<Int> = []
  /// What cannot be obeyed, and why.
  private(set) var complaints: [String] = []

  /// - Parameter socketDirectory: where sockets must be that a row asks for; nil: anywhere.
  init(
    _ source: DatabaseColumn, in databases: [String: Database], socketDirectory: String?
  ) throws(SystemError) {
    let (table, column) = try source.find(in: databases)
    guard let database = databases[source.database] else { return }
    let type = table.schema.columns[column].type
    tables.insert(table.place)
    switch (type.key.type, type.key.referenceTable.flatMap { database.schema.tableIndex[$0] }) {
    case (.string, _) where !type.isMap:
      for row in table.rows.values {
        for text in row.columns[column].strings { want(text, RemoteSettings(), nil, socketDirectory) }
      }
    case (.uuid, let place?) where !type.isMap:
      let described = database.tables[place]
      tables.insert(place)
      for row in table.rows.values {
        for uuid in row.columns[column].uuids {
          guard let row = described.rows[uuid] else { continue }
          want(
            described.value("target", of: row)?.string ?? "", described.settings(of: row),
            RemoteRow(database: database, table: described, uuid: uuid), socketDirectory)
        }
      }
    default: throw source.complaint("the column holds neither strings nor references to rows")
    }
  }

  private mutating func want(
    _ text: String, _ settings: RemoteSettings, _ row: RemoteRow?, _ socketDirectory: String?
  ) {
    do throws(RemoteError) {
      var remote = try Remote(text)
      if case .listenUnix(let path) = remote, let directory = socketDirectory {
        // A client that may write rows must not thereby make sockets anywhere.
        let name = path.hasPrefix("\(directory)/") ? String(path.dropFirst(directory.utf8.count + 1)) : path
        guard !name.contains("/") else { throw RemoteError("\(text): the socket must be in \(directory)") }
        remote = .listenUnix(path: "\(directory)/\(name)")
      }
      wanted.append(WantedRemote(remote: remote, settings: settings, row: row))
    } catch { complaints.append(error.description) }
  }
}

extension Table {
  /// What a row has in the column of that name, if there is one.
  func value(_ name: String, of row: Row) -> Datum? { schema.columnIndex[name].map { row.columns[$0] } }

  /// What a row like those of the table Manager says beside its target.
  fileprivate func settings(of row: Row) -> RemoteSettings {
    func milliseconds(_ name: String, atLeast minimum: Int) -> Int? {
      value(name, of: row)?.integer.map { max(minimum, Int(clamping: min($0, Int64(Int32.max)))) }
    }
    var settings = RemoteSettings()
    settings.inactivityProbe = milliseconds("inactivity_probe", atLeast: 0)
    settings.maximumBackoff = milliseconds("max_backoff", atLeast: 1000)
    settings.isReadOnly = value("read_only", of: row)?.bool ?? false
    let dscp = value("other_config", of: row)?[.string("dscp")]
    if case .string(let text)? = dscp, let number = Int(text), (0...63).contains(number) {
      settings.dscp = number
    }
    return settings
  }
}
