import JSONRPC
import Linux

/// What a row of the table Manager learns of its remote (ovs-vswitchd.conf.db(5), Manager, "Status").
struct RemoteStatus: Equatable {
  var isConnected: Bool
  var details: [String: String] = [:]
}

extension RemoteEndpoint {
  func status(_ locks: LockTable) -> RemoteStatus {
    let sessions = self.sessions
    var status = RemoteStatus(isConnected: !sessions.isEmpty)
    if remote.isPassive {
      status.details["bound_port"] = port.map(String.init)
      if sessions.count > 1 { status.details["n_connections"] = String(sessions.count) }
      if listening == nil { status.details["last_error"] = lastError }
    } else {
      status.details["state"] = state(sessions.first)
      status.details["last_error"] = lastError
    }
    status.details["sec_since_connect"] = seconds(since: lastConnected)
    status.details["sec_since_disconnect"] = seconds(since: lastDisconnected)
    let owned = sessions.map { session in session.locks.filter { locks.isOwner(session, $0) } }
    let waiting = sessions.map { session in session.locks.filter { !locks.isOwner(session, $0) } }
    status.details["locks_held"] = list(owned)
    status.details["locks_waiting"] = list(waiting)
    return status
  }

  private func state(_ session: Session?) -> String {
    guard let session else { return isConnecting ? "CONNECTING" : "BACKOFF" }
    return session.connection.isProbing ? "IDLE" : "ACTIVE"
  }

  private func seconds(since time: UInt64?) -> String? {
    time.map { String((monotonicNanoseconds() - $0) / 1_000_000_000) }
  }

  private func list(_ locks: [Set<String>]) -> String? {
    let all = locks.reduce(into: Set<String>()) { $0.formUnion($1) }
    return all.isEmpty ? nil : all.sorted().joined(separator: " ")
  }
}
