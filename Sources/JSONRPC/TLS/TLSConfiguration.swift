/// What this side of a TLS connection shows of itself, and what it demands of the other: files in PEM format, named as
/// the options of ovsdb-server(1), "Public Key Infrastructure Options", name them.
public struct TLSConfiguration: Hashable, Sendable {
  /// Who certifies peers.
  public enum Authority: Hashable, Sendable {
    /// The authorities in this file.
    case file(String)
    /// Those in this file; while there is none, it is made of what the first peer sends, which is trusted.
    case bootstrap(String)
    /// Nobody: any peer is taken for what it says.
    case unverified
  }

  /// The key, and the certificate that goes with it.
  public var privateKey: String?
  public var certificate: String?
  public var authority: Authority?
  /// More certificates to send to peers: of the authority that signed `certificate`, for those that bootstrap.
  public var peerAuthority: String?
  /// What may be spoken, out of `versionNames`; empty: TLS 1.2 and later.
  public var versions: Set<String> = []
  /// OpenSSL's cipher string, for TLS 1.2 and before.
  public var ciphers = "HIGH:!aNULL:!MD5"

  public init() {}

  /// A key, its certificate and the authority of all peers, as clients and servers usually have them.
  public init(privateKey: String, certificate: String, authority: String) {
    self.privateKey = privateKey
    self.certificate = certificate
    self.authority = .file(authority)
  }

  /// The versions as `--ssl-protocols` names them, ascending.
  public static let versionNames = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]

  /// Reads `--ssl-protocols`: names separated by commas or spaces.
  public mutating func setVersions(_ text: String) throws(TLSError) {
    var versions: Set<String> = []
    for word in text.split(whereSeparator: { $0 == "," || $0 == " " }).map(String.init) {
      guard let name = Self.versionNames.first(where: { $0.lowercased() == word.lowercased() }) else {
        throw TLSError(
          "\"\(word)\" is not a version of TLS; there are \(Self.versionNames.joined(separator: ", "))")
      }
      versions.insert(name)
    }
    guard !versions.isEmpty else { throw TLSError("at least one version of TLS must be allowed") }
    self.versions = versions
  }

  /// Every file that is read.
  var files: [String] {
    var files = [privateKey, certificate, peerAuthority].compactMap(\.self)
    switch authority {
    case .file(let path), .bootstrap(let path): files.append(path)
    case .unverified, nil: break
    }
    return files
  }
}

/// Why TLS cannot be spoken: one sentence.
public struct TLSError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
