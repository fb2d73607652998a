import CLinux
import Glibc

/// A process beside the switch that opens sockets in other network namespaces: where a TAP device was moved to, its
/// link is seen and its MTU set through one.
///
/// Entering a namespace takes CAP_SYS_ADMIN, which is next to everything. So the switch does without, and a child that
/// has only this capability does only this: it takes the descriptor of a namespace and gives back a datagram socket.
/// It reads nothing else, and ends when the switch does.
public enum NamespaceAgent {
  /// Starts it, before the first thread. From then on `cl_namespace_socket` asks it.
  ///
  /// - Returns: what it would lack; then there is none, and namespaces cannot be entered.
  public static func start(user: UserIdentity?) throws(SystemError) -> [Capability] {
    guard try Privileges.have(.administerSystem) else { return [.administerSystem] }
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      throw .last("create a socket pair")
    }
    let child = cl_fork()
    guard child >= 0 else { throw .last("start the agent for network namespaces") }
    if child == 0 {
      run(ends[1], user)
      _exit(0)
    }
    close(ends[1])
    let channel = FileDescriptor(owning: ends[0])
    var answer = [UInt8](repeating: 0, count: 1024)
    let length = retryingInterrupts { read(channel.raw, &answer, answer.count) }
    guard length == 1, answer[0] == ready else {
      waitpid(child, nil, 0)
      let reason = String(decoding: answer[..<max(0, length)], as: UTF8.self)
      throw SystemError(reason.isEmpty ? "the agent for network namespaces did not start" : reason, code: 0)
    }
    cl_namespace_agent_use(channel.release())
    return []
  }

  /// What the agent says when it can begin; else it gives a reason.
  private static let ready: UInt8 = 1

  private static func run(_ channel: Int32, _ user: UserIdentity?) {
    var greeting = [ready]
    do throws(SystemError) {
      _ = try Privileges.drop(keeping: [.administerSystem], user: user)
    } catch { greeting = Array(error.description.utf8) }
    cl_namespace_agent_detach(channel)
    guard write(channel, greeting, greeting.count) == greeting.count, greeting == [ready] else { return }
    cl_namespace_agent_serve(channel)
  }
}
