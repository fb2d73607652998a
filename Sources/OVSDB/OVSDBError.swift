import JSONRPC

/// A failed operation or request: one of RFC 7047's error strings, and a sentence a person understands.
public struct OVSDBError: Error, Equatable, CustomStringConvertible {
  /// Short, fixed, for programs: "constraint violation".
  public let error: String
  public let details: String

  public init(_ error: String, _ details: String) {
    self.error = error
    self.details = details
  }

  public var json: JSON { ["error": .string(error), "details": .string(details)] }
  public var description: String { "\(error): \(details)" }

  /// The error object an operation or a method returned, if `json` is one.
  public init?(_ json: JSON) {
    guard let error = json["error"]?.string else { return nil }
    self.init(error, json["details"]?.string ?? "")
  }

  /// Something a client sent has the wrong form.
  public static func syntax(_ details: String) -> OVSDBError { OVSDBError("syntax error", details) }
  /// Named as peers name it (ovsdb-server(7) §3.1).
  public static func duplicate(_ details: String) -> OVSDBError { OVSDBError("ovsdb error", details) }
  public static func unknownColumn(_ column: String, _ table: String) -> OVSDBError {
    OVSDBError("unknown column", "table \(table) has no column \"\(column)\"")
  }
  public static func unknownTable(_ table: String) -> OVSDBError {
    OVSDBError("unknown table", "there is no table \"\(table)\"")
  }
  public static func unknownDatabase(_ name: String) -> OVSDBError {
    OVSDBError("unknown database", "there is no database \"\(name)\"")
  }
  public static func constraint(_ details: String) -> OVSDBError {
    OVSDBError("constraint violation", details)
  }
  public static func referentialIntegrity(_ details: String) -> OVSDBError {
    OVSDBError("referential integrity violation", details)
  }
}
