import CLinux
import Glibc
import Linux
import Testing

/// The agent's side of the conversation, on a thread instead of in a process.
@Suite final class NamespaceAgentTests {
  private let channel: Int32
  private var agent: Linux.Thread?

  /// What came back: an errno, and a socket if that is 0.
  private struct Answer: Equatable {
    var error: Int32
    var hasSocket: Bool
  }

  init() throws {
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0)
    channel = ends[0]
    let agent = ends[1]
    self.agent = try Linux.Thread(name: "agent") {
      cl_namespace_agent_serve(agent)
      close(agent)
    }
  }

  /// The agent ends when its other end is closed.
  deinit {
    close(channel)
    agent.take()?.join()
  }

  private func ask(_ descriptors: [Int32]) throws -> Answer {
    var request: UInt8 = 0x6E
    #expect(cl_send_with_fds(channel, &request, 1, descriptors, Int32(descriptors.count)) == 1)
    var wait = pollfd(fd: channel, events: Int16(POLLIN), revents: 0)
    try #require(poll(&wait, 1, 20_000) == 1)
    var answer: Int32 = -1
    var (socket, count, truncated): (Int32, Int32, Int32) = (-1, 0, 0)
    let length = cl_receive_with_fds(channel, &answer, 4, &socket, 1, &count, &truncated)
    #expect(length == 4 && truncated == 0)
    if count == 1 {
      var kind: Int32 = 0
      var size = socklen_t(4)
      #expect(getsockopt(socket, SOL_SOCKET, SO_TYPE, &kind, &size) == 0)
      #expect(kind == Int32(SOCK_DGRAM.rawValue))
      close(socket)
    }
    return Answer(error: answer, hasSocket: count == 1)
  }

  @Test func `What is no namespace is refused, and the next request is served`() throws {
    #expect(try ask([]) == Answer(error: EINVAL, hasSocket: false))
    let event = try EventFD()
    #expect(try ask([event.raw]) == Answer(error: EINVAL, hasSocket: false))
    let namespace = try FileDescriptor.open("/proc/self/ns/net", O_RDONLY)
    let answer = try ask([namespace.raw, event.raw])
    #expect(getuid() == 0 ? answer == Answer(error: 0, hasSocket: true) : answer.error == EPERM)
    // A namespace of another kind.
    let other = try FileDescriptor.open("/proc/self/ns/uts", O_RDONLY)
    #expect(try !ask([other.raw]).hasSocket)
  }

  @Test func `A thousand requests leave no descriptor behind`() throws {
    let namespace = try FileDescriptor.open("/proc/self/ns/net", O_RDONLY)
    _ = try ask([namespace.raw])
    let before = try descriptorCount()
    for _ in 0..<1000 { _ = try ask([namespace.raw, namespace.raw]) }
    #expect(try descriptorCount() < before + 100)
  }

  private func descriptorCount() throws -> Int {
    guard let directory = opendir("/proc/self/fd") else { throw SystemError.last("open /proc/self/fd") }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
  }
}
