import Glibc
import JSONRPC
import Linux
import Testing

/// A directory with two authorities, `ca` and `other`, and keys with certificates of theirs; it goes with the object.
final class Certificates {
  let directory: String

  /// - Parameter names: of `ca`'s certificates; `stranger` is of `other`.
  init(_ names: [String] = ["server", "client"]) throws {
    var template = Array("/tmp/jsonrpc-tls.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("create a temporary directory") }
    directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    for authority in ["ca", "other"] {
      try openssl("req -x509 \(Self.newKey(authority)) -out \(authority).pem -subj /CN=\(authority) -days 2")
    }
    for name in names { try issue(name, "ca") }
    try issue("stranger", "other")
  }

  deinit { _ = system("rm -rf \(directory)") }

  func issue(_ name: String, _ authority: String) throws {
    try openssl("req \(Self.newKey(name)) -out \(name).csr -subj /CN=\(name)")
    try openssl(
      "x509 -req -in \(name).csr -CA \(authority).pem -CAkey \(authority).key -CAcreateserial -out \(name).pem -days 2"
    )
  }

  func file(_ name: String) -> String { "\(directory)/\(name)" }

  func configuration(_ name: String, authority: String = "ca") -> TLSConfiguration {
    TLSConfiguration(
      privateKey: file("\(name).key"), certificate: file("\(name).pem"), authority: file("\(authority).pem"))
  }

  private static func newKey(_ name: String) -> String {
    "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout \(name).key"
  }

  private func openssl(_ arguments: String) throws {
    guard system("cd \(directory) && openssl \(arguments) >openssl.log 2>&1") == 0 else {
      throw SystemError("openssl \(arguments)", code: 0)
    }
  }

  static let canBeMade = system("command -v openssl >/dev/null 2>&1") == 0
}
