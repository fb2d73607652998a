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
}
