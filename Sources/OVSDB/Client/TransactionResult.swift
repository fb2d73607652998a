import JSONRPC

/// What a committed transaction returned: one result per operation.
public struct TransactionResult: Sendable, Equatable {
  public let results: [JSON]

  /// The UUID the server gave the row inserted by the operation at `index`.
  public func insertedUUID(_ index: Int) -> UUID? {
    guard results.indices.contains(index), let text = results[index]["uuid"]?[1]?.string else { return nil }
    return UUID(text)
  }

  /// How many rows the update, mutate or delete at `index` touched.
  public func count(_ index: Int) -> Int64? {
    results.indices.contains(index) ? results[index]["count"]?.integer : nil
  }

  /// The rows the select at `index` found.
  public func rows(_ index: Int) -> [JSON] {
    results.indices.contains(index) ? results[index]["rows"]?.array ?? [] : []
  }

  /// Reads the reply to `transact`. It has a result per operation, and one more when the commit itself failed.
  init(_ reply: JSON, operations: Int) throws(TransactionError) {
    guard case .array(let results) = reply else {
      throw .malformed("the reply to transact must be an array, not \(reply.excerpt)")
    }
    for (index, result) in results.enumerated() {
      if let error = OVSDBError(result) { throw .failed(error, operation: index < operations ? index : nil) }
    }
    guard results.count == operations else {
      throw .malformed("\(results.count) results for \(operations) operations")
    }
    self.results = results
  }
}

/// Why a transaction has no result.
public enum TransactionError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Nothing was sent: there is no synchronized session.
  case notConnected
  /// The session ended before the reply: it is unknown whether the transaction was committed.
  case connectionLost(String)
  /// The operation at this index failed, or the commit as a whole; nothing was changed.
  case failed(OVSDBError, operation: Int?)
  /// The server refused the request as such.
  case refused(String)
  case malformed(String)

  /// What was read has changed since: try again with what is there now.
  public var isConflict: Bool {
    if case .failed(let error, _) = self { error.error == "timed out" } else { false }
  }

  public var description: String {
    switch self {
    case .notConnected: "not connected to the database"
    case .connectionLost(let reason): "the connection to the database was lost (\(reason))"
    case .failed(let error, _): error.details.isEmpty ? error.error : "\(error)"
    case .refused(let reason): "the database server refused the request (\(reason))"
    case .malformed(let reason): "the database server sent a malformed reply (\(reason))"
    }
  }
}
