import JSONRPC
import Linux

/// The options of TLS as a daemon's command line has them (ovsdb-server(1), "Public Key Infrastructure Options"): each
/// file is named, or a column of a database is that names it.
public struct TLSSettings: Equatable, Sendable {
  enum File: Equatable, Sendable {
    case path(String)
    case column(DatabaseColumn)
  }

  private var privateKey: File?
  private var certificate: File?
  private var authority: File?
  private var peerAuthority: File?
  private var isBootstrap = false
  private var isUnverified = false
  /// Versions and ciphers.
  private var base = TLSConfiguration()

  public init() {}

  /// Those that a switch's database holds.
  public static let switchDatabase: TLSSettings = {
    func column(_ name: String) -> File {
      .column(DatabaseColumn(database: "Open_vSwitch", table: "SSL", column: name))
    }
    var settings = TLSSettings()
    settings.privateKey = column("private_key")
    settings.certificate = column("certificate")
    settings.authority = column("ca_cert")
    return settings
  }()

  public static let help = """
    TLS options; FILE may be db:DATABASE,TABLE,COLUMN, which then names it:
      -p, --private-key=FILE   the private key (PEM)
      -c, --certificate=FILE   the certificate that goes with it
      -C, --ca-cert=FILE       the authority that certifies peers; "none": peers are not verified
      --bootstrap-ca-cert=FILE the same; when there is no such file, it is made of what the first peer sends
      --peer-ca-cert=FILE      a further certificate to send to peers
      --ssl-protocols=LIST     out of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3 (default: TLSv1.2,TLSv1.3)
      --ssl-ciphers=LIST       in OpenSSL's form (default: HIGH:!aNULL:!MD5)
    """

  public static let table: [CommandLineOption] = [
    CommandLineOption("private-key", short: "p", .required),
    CommandLineOption("certificate", short: "c", .required),
    CommandLineOption("ca-cert", short: "C", .required), CommandLineOption("bootstrap-ca-cert", .required),
    CommandLineOption("peer-ca-cert", .required), CommandLineOption("ssl-protocols", .required),
    CommandLineOption("ssl-ciphers", .required),
  ]

  /// Takes an option if it is one of these; says whether it is.
  public mutating func consume(_ name: String, _ value: String) throws(UsageError) -> Bool {
    switch name {
    case "private-key": privateKey = Self.file(value)
    case "certificate": certificate = Self.file(value)
    case "ca-cert":
      isBootstrap = false
      isUnverified = value == "none"
      authority = Self.file(value)
    case "bootstrap-ca-cert":
      isBootstrap = true
      isUnverified = false
      authority = Self.file(value)
    case "peer-ca-cert": peerAuthority = Self.file(value)
    case "ssl-protocols":
      do throws(TLSError) { try base.setVersions(value) } catch { throw UsageError(error.description) }
    case "ssl-ciphers": base.ciphers = value
    default: return false
    }
    return true
  }

  private static func file(_ value: String) -> File {
    DatabaseColumn(value).map(File.column) ?? .path(absolutePath(value))
  }

  /// Whether nothing was said about keys and certificates.
  public var isEmpty: Bool { privateKey == nil && certificate == nil && authority == nil }

  /// The columns that name files.
  var columns: [DatabaseColumn] {
    [privateKey, certificate, authority, peerAuthority].compactMap {
      if case .column(let column)? = $0 { column } else { nil }
    }
  }

  /// What follows for a client, or a server whose databases are `databases`.
  func configuration(_ databases: [String: Database]) -> TLSConfiguration {
    var configuration = base
    configuration.privateKey = path(privateKey, databases)
    configuration.certificate = path(certificate, databases)
    configuration.peerAuthority = path(peerAuthority, databases)
    if isUnverified {
      configuration.authority = .unverified
    } else if let file = path(authority, databases) {
      configuration.authority = bootstraps(databases) ? .bootstrap(file) : .file(file)
    }
    return configuration
  }

  /// What follows without a database.
  public var configuration: TLSConfiguration { configuration([:]) }

  /// The first file that a column names.
  private func path(_ file: File?, _ databases: [String: Database]) -> String? {
    switch file {
    case .path(let path): path
    case .column(let column): column.strings(in: databases).first { !$0.isEmpty }
    case nil: nil
    }
  }

  /// The option says so, or the row that names the authority does.
  private func bootstraps(_ databases: [String: Database]) -> Bool {
    guard !isBootstrap, case .column(let column)? = authority else { return isBootstrap }
    let said = DatabaseColumn(database: column.database, table: column.table, column: "bootstrap_ca_cert")
    return said.values(in: databases).contains { $0.bool == true }
  }
}

extension DatabaseColumn {
  /// What the rows have in the column; nothing when there is no such column.
  fileprivate func values(in databases: [String: Database]) -> [Datum] {
    guard let (table, column) = try? find(in: databases) else { return [] }
    return table.rows.values.map { $0.columns[column] }
  }

  fileprivate func strings(in databases: [String: Database]) -> [String] {
    values(in: databases).flatMap(\.strings)
  }
}
