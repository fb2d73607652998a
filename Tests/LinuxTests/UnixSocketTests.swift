import Glibc
import Testing

@testable import Linux

/// Row 12 of the hostile cases: what may stand where a socket is to be.
@Suite final class UnixSocketTests {
  private let directory: String

  init() throws {
    var template = Array("/tmp/switchd-test-XXXXXX".utf8CString)
    directory = String(cString: try #require(mkdtemp(&template)))
  }

  deinit {
    for name in ["a", "b", "prog.12.ctl", "prog.34.ctl", "prog.x.ctl", "other.12.ctl"] {
      unlink("\(directory)/\(name)")
    }
    rmdir(directory)
  }

  private func exists(_ name: String) -> Bool { access("\(directory)/\(name)", F_OK) == 0 }

  /// A socket file whose listener is gone, also where a process that is just being started still has a copy.
  private func leaveDead(_ name: String) throws {
    let listener = try UnixSocket.listen("\(directory)/\(name)")
    shutdown(listener.raw, Int32(SHUT_RDWR))
  }

  @Test func aDeadSocketIsReplaced() throws {
    try leaveDead("a")
    #expect(exists("a"))
    let listener = try UnixSocket.listen("\(directory)/a")
    let client = try UnixSocket.connect("\(directory)/a")
    #expect(try UnixSocket.accept(listener.raw) != nil)
    withExtendedLifetime(client.raw) {}
  }

  @Test func aLiveOneIsRefused() throws {
    let listener = try UnixSocket.listen("\(directory)/a")
    let error = #expect(throws: SystemError.self) { _ = try UnixSocket.listen("\(self.directory)/a") }
    #expect(error?.code == EADDRINUSE)
    #expect(error?.description.contains("\(directory)/a: another process listens there") == true)
    #expect(UnixSocket.isListening("\(directory)/a"))
    withExtendedLifetime(listener.raw) {}
  }

  @Test func neitherAFileNorALinkIsReplaced() throws {
    let file = open("\(directory)/b", O_CREAT | O_WRONLY, 0o600)
    close(file)
    symlink("\(directory)/b", "\(directory)/a")
    for name in ["a", "b"] {
      let error = #expect(throws: SystemError.self) { _ = try UnixSocket.listen("\(self.directory)/\(name)") }
      #expect(error?.code == EEXIST)
      #expect(exists(name))
    }
  }

  /// As the kernel walks it: links of ours are followed, absolute and relative ones, in the middle and at the end.
  @Test func aTrustedPathIsWalkedAsAnyOther() throws {
    let listener = try UnixSocket.listen("\(directory)/a")
    func reaches(_ path: String) throws -> Bool {
      let client = try UnixSocket.connect(trusted: path)
      let isConnected = try UnixSocket.accept(listener.raw) != nil
      withExtendedLifetime(client.raw) {}
      return isConnected
    }
    let name = directory.dropFirst("/tmp/".count)
    for target in ["a", "\(directory)/a", "../\(name)//./a"] {
      symlink(target, "\(directory)/b")
      #expect(try reaches("\(directory)/b"), "\(target)")
      unlink("\(directory)/b")
    }
    symlink(".", "\(directory)/b")
    #expect(try reaches("\(directory)/b/b/./a"))
    unlink("\(directory)/b")
    // Round and round, and to nothing.
    for (target, code) in [("b", ELOOP), ("c", ENOENT)] {
      symlink(target, "\(directory)/b")
      let error = #expect(throws: SystemError.self) {
        _ = try UnixSocket.connect(trusted: "\(self.directory)/b")
      }
      #expect(error?.code == code)
      unlink("\(directory)/b")
    }
  }

  @Test func aPathIsNeverCutShort() throws {
    let long = "\(directory)/" + String(repeating: "x", count: 200)
    let error = #expect(throws: SystemError.self) { _ = try UnixSocket.listen(long) }
    #expect(error?.code == ENAMETOOLONG)
  }

  @Test func theModeIsSet() throws {
    let listener = try UnixSocket.listen("\(directory)/a", mode: 0o620)
    var status = stat()
    #expect(stat("\(directory)/a", &status) == 0)
    #expect(status.st_mode & 0o777 == 0o620)
    withExtendedLifetime(listener.raw) {}
  }

  @Test func onlyDeadSocketsOfTheNameAreCleared() throws {
    for name in ["prog.12.ctl", "other.12.ctl"] { try leaveDead(name) }
    let live = try UnixSocket.listen("\(directory)/prog.34.ctl")
    UnixSocket.removeDead(in: directory) { $0.hasPrefix("prog.") }
    #expect(!exists("prog.12.ctl"))
    #expect(exists("prog.34.ctl"))
    #expect(exists("other.12.ctl"))
    withExtendedLifetime(live.raw) {}
  }
}
