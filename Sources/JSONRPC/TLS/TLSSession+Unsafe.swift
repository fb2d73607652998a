import COpenSSL
import Glibc
import Linux

/// One TLS session over a non-blocking socket.
///
// SAFETY: `raw` is this object's own SSL from its making to its end, and reads and writes the socket only within calls
// of this object; whoever has the socket closes it after this object is gone, or never calls it again. Buffers are
// lent for the length of one call, with their exact lengths.
final class TLSSession {
  enum Role { case client, server }

  /// What came of a step.
  enum Progress {
    case bytes(Int)
    /// Nothing can be done until the socket is readable or writable.
    case wantsRead
    case wantsWrite
    case ended
    case failed(String)
  }

  private let context: TLSContext
  private let raw: OpaquePointer

  init(_ context: TLSContext, _ socket: Int32, _ role: Role) throws(TLSError) {
    self.context = context
    guard let raw = SSL_new(context.raw) else { throw .last("start a TLS session") }
    self.raw = raw
    guard SSL_set_fd(raw, socket) == 1 else { throw .last("start a TLS session") }
    switch role {
    case .client: SSL_set_connect_state(raw)
    case .server: SSL_set_accept_state(raw)
    }
  }

  deinit { SSL_free(raw) }

  /// Goes on shaking hands; `.bytes(0)` when that is done and the peer is who it must be.
  func shakeHands() -> Progress {
    let progress = step { SSL_do_handshake(raw) }
    guard case .bytes = progress else { return progress }
    if let file = context.bootstrapFile { return .failed(storeAuthority(file)) }
    return .bytes(0)
  }

  func read(into buffer: inout [UInt8]) -> Progress {
    step { buffer.withUnsafeMutableBytes { SSL_read(raw, $0.baseAddress, Int32(clamping: $0.count)) } }
  }

  func write(_ bytes: ArraySlice<UInt8>) -> Progress {
    step { bytes.withUnsafeBytes { SSL_write(raw, $0.baseAddress, Int32(clamping: $0.count)) } }
  }

  /// Tells the peer, if that is possible now, that nothing follows.
  func close() {
    ERR_clear_error()
    if SSL_is_init_finished(raw) == 1 { SSL_shutdown(raw) }
    ERR_clear_error()
  }

  private func step(_ call: () -> Int32) -> Progress {
    ERR_clear_error()
    let result = call()
    if result > 0 { return .bytes(Int(result)) }
    let code = errno
    switch SSL_get_error(raw, result) {
    case SSL_ERROR_WANT_READ: return .wantsRead
    case SSL_ERROR_WANT_WRITE: return .wantsWrite
    case SSL_ERROR_ZERO_RETURN: return .ended
    case SSL_ERROR_SYSCALL:
      return code == 0 ? .ended : .failed(SystemError("", code: code).reason)
    default: return .failed(failure())
    }
  }

  /// Why OpenSSL refused the peer, or the peer us.
  private func failure() -> String {
    let verification = SSL_get_verify_result(raw)
    let reason = TLSError.lastReason() ?? "the TLS session failed"
    guard verification != X509_V_OK, let text = X509_verify_cert_error_string(Int(verification)) else {
      return reason
    }
    return "\(reason): \(String(cString: text))"
  }

  /// Makes what the peer says is its authority ours (ovsdb-server(1), `--bootstrap-ca-cert`); the sentence that ends
  /// this session, after which all sessions are verified.
  private func storeAuthority(_ file: String) -> String {
    guard let certificate = co_last_of_chain(raw), co_is_self_signed(certificate) == 1 else {
      return "the peer did not send its authority's certificate, which was to go to \(file)"
    }
    let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o444)
    if descriptor < 0, errno == EEXIST { return "\(file) has been made; the next session is verified" }
    guard descriptor >= 0 else { return SystemError.last("make \(file)").description }
    guard let stream = BIO_new_fd(descriptor, BIO_CLOSE) else {
      Glibc.close(descriptor)
      return TLSError.last("write \(file)").description
    }
    let isWritten = PEM_write_bio_X509(stream, certificate) == 1
    BIO_free(stream)
    guard isWritten else {
      unlink(file)
      return TLSError.last("write \(file)").description
    }
    Log.info("tls", "took the certificate of the peer's authority for \(file)")
    return "its authority's certificate went to \(file); the next session is verified"
  }
}
