import Glibc
import Linux
import Testing
import VirtioTesting

@testable import Ports

/// SECURITY: what somebody else may have put where a port's socket belongs.
@Suite struct SocketPathTests {
  private func start(_ directory: String, _ options: [String: String] = [:]) throws -> PortHarness {
    let loop = try EventLoop()
    let configuration = PortConfiguration(
      name: "vm", kind: .vhostUser, options: options, runDirectory: directory)
    return try PortHarness(try VhostUserPort(configuration, loop: loop), loop)
  }

  private func refusal(_ directory: String) -> String {
    do {
      _ = try start(directory)
      return ""
    } catch { return "\(error)" }
  }

  /// What a link in the way points to.
  enum Target: CaseIterable {
    case liveSocket, deadSocket, file, nothing
  }

  @Test(.enabled(if: getuid() == 0, "needs root"), arguments: Target.allCases, [true, false])
  func `Row 12: a symbolic link in the way is neither followed nor removed, whoever owns it`(
    target: Target, isForeign: Bool
  ) throws {
    let (directory, elsewhere) = (ScratchDirectory(), ScratchDirectory())
    let (path, aim) = ("\(directory.path)/vm", "\(elsewhere.path)/target")
    var listener: FileDescriptor?
    switch target {
    case .liveSocket, .deadSocket:
      let socket = try UnixSocket.listen(aim)
      if target == .deadSocket { shutdown(socket.raw, Int32(SHUT_RDWR)) } else { listener = consume socket }
    case .file: close(open(aim, O_CREAT | O_WRONLY, 0o600))
    case .nothing: break
    }
    #expect(symlink(aim, path) == 0)
    if isForeign { #expect(lchown(path, 65_534, 65_534) == 0) }

    #expect(refusal(directory.path).contains("not a socket"))
    var status = stat()
    #expect(lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
    #expect((lstat(aim, &status) == 0) == (target != .nothing))
    if target == .liveSocket { #expect(UnixSocket.isListening(aim)) }
    _ = consume listener
  }

  @Test func `Row 12: a live socket is not replaced, and its owner not disturbed`() throws {
    let directory = ScratchDirectory()
    let owner = try UnixSocket.listen("\(directory.path)/vm")
    #expect(refusal(directory.path).contains("another process listens"))
    #expect(UnixSocket.isListening("\(directory.path)/vm"))
    _ = consume owner
  }

  /// What took the place of the port's socket is somebody else's.
  @Test func `Row 12: a port that closes removes its own socket only`() throws {
    let directory = ScratchDirectory()
    let path = "\(directory.path)/vm"
    let harness = try start(directory.path)
    unlink(path)
    let owner = try UnixSocket.listen(path)
    harness.port.close()
    #expect(UnixSocket.isListening(path))
    _ = consume owner
  }

  /// Nobody connects in the moment between the socket's making and its getting the mode asked for.
  @Test(arguments: ["0600", "0660", "0777"])
  func `Row 12: the socket has the mode asked for`(mode: String) throws {
    let directory = ScratchDirectory()
    let harness = try start(directory.path, ["socket-mode": mode])
    var status = stat()
    #expect(lstat("\(directory.path)/vm", &status) == 0)
    #expect(String(status.st_mode & 0o777, radix: 8) == mode.dropFirst())
    harness.port.close()
  }

  /// A link to QEMU's socket, or to its directory.
  @Test(.enabled(if: getuid() == 0, "needs root"), arguments: [false, true], [true, false])
  func `Row 12: a port that connects follows no link of a stranger`(isDirectory: Bool, isForeign: Bool) throws
  {
    let (directory, elsewhere) = (ScratchDirectory(), ScratchDirectory())
    let owner = try UnixSocket.listen("\(elsewhere.path)/qemu")
    let link = "\(directory.path)/link"
    #expect(symlink(isDirectory ? elsewhere.path : "\(elsewhere.path)/qemu", link) == 0)
    if isForeign { #expect(lchown(link, 65_534, 65_534) == 0) }

    let loop = try EventLoop()
    let configuration = PortConfiguration(
      name: "vm", kind: .vhostUserClient,
      options: ["vhost-server-path": isDirectory ? "\(link)/qemu" : link], runDirectory: directory.path)
    let harness = try PortHarness(try VhostUserPort(configuration, loop: loop), loop)
    let accepted = try UnixSocket.accept(owner.raw)
    let isConnected = accepted != nil
    #expect(isConnected == !isForeign)
    #expect((harness.port.status.error?.contains("symbolic link of nobody") == true) == isForeign)
    _ = consume accepted
    // It tries again, and finds the link changed.
    if isForeign {
      #expect(lchown(link, 0, 0) == 0)
      #expect(harness.wait { harness.port.status.details["status"] != "disconnected" })
    }
    harness.port.close()
  }
}
