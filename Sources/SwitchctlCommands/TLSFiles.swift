import JSONRPC
import OVSDB

/// The files a connection to a database over TLS (`ssl:`) is made with, as the options of Open vSwitch's clients name
/// them.
struct TLSFiles: Equatable, Sendable {
  /// PEM; nil: no `ssl:` connection can be made.
  var privateKey: String?
  var certificate: String?
  /// The certificate of who signed the server's; "none" checks nothing.
  var authority: String?
  /// Whether `authority` is taken from the first connection, and written, if it does not exist.
  var bootstrapsAuthority = false
  /// More certificates that are sent to the server.
  var peerAuthority: String?
  /// As OpenSSL's clients write them; nil for the default.
  var protocols: String?
  var ciphers: String?

  /// What a connection is made with; nil when no option said anything.
  func configuration() throws(CommandError) -> TLSConfiguration? {
    guard self != TLSFiles() else { return nil }
    var configuration = TLSConfiguration()
    configuration.privateKey = privateKey
    configuration.certificate = certificate
    configuration.authority = authority.map { file in
      file == "none" ? .unverified : bootstrapsAuthority ? .bootstrap(file) : .file(file)
    }
    configuration.peerAuthority = peerAuthority
    if let protocols {
      do throws(TLSError) { try configuration.setVersions(protocols) } catch { throw .usage("\(error)") }
    }
    if let ciphers { configuration.ciphers = ciphers }
    return configuration
  }
}

extension GlobalOptions {
  /// How the database is connected to.
  func client() throws(CommandError) -> Client.Options {
    var options = Client.Options()
    options.tls = try tls.configuration()
    return options
  }
}
