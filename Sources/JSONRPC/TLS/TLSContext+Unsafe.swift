import COpenSSL
import Glibc
import Linux

/// What the files of a `TLSConfiguration` hold, ready to make sessions of.
///
// SAFETY: `raw` is this object's own reference to an SSL_CTX from its making to its end; sessions made of it take
// references of their own. OpenSSL's strings are copied before the next call.
final class TLSContext {
  let raw: OpaquePointer
  /// Where the certificate that the first peer sends has to go.
  let bootstrapFile: String?

  init(_ configuration: TLSConfiguration) throws(TLSError) {
    guard let key = configuration.privateKey, let certificate = configuration.certificate else {
      throw TLSError("TLS needs a private key and a certificate (--private-key, --certificate)")
    }
    guard let authority = configuration.authority else {
      throw TLSError("TLS needs the certificate of the authority that certifies peers (--ca-cert)")
    }
    ERR_clear_error()
    guard let raw = SSL_CTX_new(TLS_method()) else { throw .last("start TLS") }
    self.raw = raw
    bootstrapFile = Self.missing(authority)
    // OpenSSL writes to sockets with write(2).
    Signals.ignoreBrokenPipes()
    co_set_modes(raw)
    try setVersions(configuration)
    try check(
      SSL_CTX_set_cipher_list(raw, configuration.ciphers), "use the ciphers \"\(configuration.ciphers)\"")
    try check(
      SSL_CTX_use_certificate_chain_file(raw, certificate), "read the certificate in \(certificate)")
    try check(
      SSL_CTX_use_PrivateKey_file(raw, key, SSL_FILETYPE_PEM), "use the private key in \(key)")
    if let file = configuration.peerAuthority { try sendAlso(file) }
    try demand(authority)
  }

  deinit { SSL_CTX_free(raw) }

  /// The file that is to be made, if it is to be and has not been.
  private static func missing(_ authority: TLSConfiguration.Authority) -> String? {
    if case .bootstrap(let file) = authority, !exists(file) { return file }
    return nil
  }

  private func check(_ result: Int32, _ action: String) throws(TLSError) {
    guard result == 1 else { throw .last(action) }
  }

  private func setVersions(_ configuration: TLSConfiguration) throws(TLSError) {
    let excluding = [co_no_tls1(), co_no_tls1_1(), co_no_tls1_2(), co_no_tls1_3()]
    let allowed = configuration.versions.isEmpty ? ["TLSv1.2", "TLSv1.3"] : configuration.versions
    var excluded: UInt64 = 0
    for (name, option) in zip(TLSConfiguration.versionNames, excluding) where !allowed.contains(name) {
      excluded |= option
    }
    co_set_options(raw, excluded)
    // Debian's defaults ask for more than the old versions can give; whoever names them wants them.
    if !configuration.versions.isDisjoint(with: ["TLSv1", "TLSv1.1"]) { SSL_CTX_set_security_level(raw, 0) }
  }

  /// Peers must show a certificate that the authority has signed.
  private func demand(_ authority: TLSConfiguration.Authority) throws(TLSError) {
    switch authority {
    case .unverified: SSL_CTX_set_verify(raw, SSL_VERIFY_NONE, nil)
    case .bootstrap where bootstrapFile != nil:
      // Whoever comes first is believed, but has to show something.
      SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT) { _, _ in 1 }
    case .file(let file), .bootstrap(let file):
      let action = "read the authority's certificate in \(file)"
      try check(SSL_CTX_load_verify_locations(raw, file, nil), action)
      guard let names = SSL_load_client_CA_file(file) else { throw .last(action) }
      SSL_CTX_set_client_CA_list(raw, names)
      SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    }
  }

  /// Sends the certificates in `file` after this side's own.
  private func sendAlso(_ file: String) throws(TLSError) {
    let action = "read the certificates in \(file)"
    guard let stream = BIO_new_file(file, "r") else { throw .last(action) }
    defer { BIO_free(stream) }
    var count = 0
    while let certificate = PEM_read_bio_X509(stream, nil, nil, nil) {
      guard co_add_chain_certificate(raw, certificate) == 1 else {
        X509_free(certificate)
        throw .last(action)
      }
      count += 1
    }
    guard count > 0 else { throw .last(action) }
    ERR_clear_error()
  }
}

extension TLSError {
  /// Takes OpenSSL's oldest reason, which is the cause of the others.
  static func last(_ action: String) -> TLSError { TLSError("\(action): \(lastReason() ?? "it failed")") }

  static func lastReason() -> String? {
    let code = ERR_get_error()
    ERR_clear_error()
    guard code != 0 else { return nil }
    // What the system said comes as an errno value.
    if code & 0x8000_0000 != 0 { return String(cString: strerror(Int32(code & 0x7FFF_FFFF))) }
    guard let reason = ERR_reason_error_string(code) else { return "OpenSSL error \(code)" }
    return String(cString: reason)
  }
}
