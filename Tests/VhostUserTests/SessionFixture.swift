import CLinux
import Glibc
import Linux
import Packet
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// A session served in the test's own thread, and the front-end that talks to it.
final class SessionFixture: SessionOwner {
  private(set) var session: Session!
  private(set) var frontEnd: ScriptedFrontEnd!
  /// Why the session ended.
  private(set) var end: SessionError?
  private(set) var quiesces = 0
  private(set) var resumes = 0
  private(set) var isQuiet = true
  private(set) var synchronizations = 0
  private(set) var translationChanges = 0
  private(set) var announced: [MACAddress] = []
  /// What a port would do to stop and to resume.
  var onQuiesce: (Session) -> Void = { _ in }
  var onResume: (Session) throws(SessionError) -> Void = { _ in }

  init(queuePairs: Int = 1) throws {
    var ends: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw SystemError.last("make a socket pair") }
    session = Session(Connection(FileDescriptor(owning: ends[0])), owner: self, queuePairs: queuePairs)
    frontEnd = ScriptedFrontEnd(FileDescriptor(owning: ends[1])) { [unowned self] in serve() }
  }

  func quiesce(_ session: Session) {
    onQuiesce(session)
    isQuiet = true
    quiesces += 1
  }

  func resume(_ session: Session) throws(SessionError) {
    isQuiet = false
    resumes += 1
    try onResume(session)
  }

  func synchronize() { synchronizations += 1 }
  func translationsChanged(_ session: Session) { translationChanges += 1 }
  func announce(_ session: Session, address: MACAddress) { announced.append(address) }

  /// Lets the session handle what has arrived; when it ends, its connection is closed.
  func serve() {
    guard let session else { return }
    do { try session.process() } catch {
      end = error
      session.end()
      self.session = nil
    }
  }

  /// Serves until everything sent so far has been handled. Returns why the session ended, if it did.
  func settle() -> SessionError? {
    while session != nil, Self.hasInput(session.connection.descriptor.raw) { serve() }
    return end
  }

  private static func hasInput(_ descriptor: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) > 0
  }

  /// A session with features acknowledged, memory shared and both rings started.
  static func running(
    _ protocolFeatures: ProtocolFeatures = [.multiqueue, .replyAcknowledgement],
    features: VirtioFeatures = [.version1, .mergeableReceiveBuffers], ram: GuestRAM? = nil
  ) throws -> (SessionFixture, GuestDriver) {
    let fixture = try SessionFixture()
    let driver = try GuestDriver(ram: ram, features: features)
    try fixture.frontEnd.negotiate(driver.features, protocolFeatures)
    try fixture.frontEnd.start(driver)
    #expect(fixture.settle() == nil)
    return (fixture, driver)
  }
}

/// How many descriptors of this process refer to what `descriptor` does. Other tests' do not count.
func openCopies(_ descriptor: Int32) -> Int {
  let wanted = identity(descriptor)
  return (0..<4096 as Range<Int32>).count { fcntl($0, F_GETFD) >= 0 && identity($0) == wanted }
}

/// How often this process has mapped the file behind `descriptor`.
func mappings(_ descriptor: Int32) -> Int {
  var status = stat()
  guard fstat(descriptor, &status) == 0 else { return -1 }
  return lines("/proc/self/maps").count { $0.contains(" \(status.st_ino) ") }
}

/// How many bytes of the file behind `descriptor` are mapped; the kernel joins mappings that happen to be adjacent.
func mappedBytes(_ descriptor: Int32) -> UInt64 {
  var status = stat()
  guard fstat(descriptor, &status) == 0 else { return 0 }
  return lines("/proc/self/maps").filter { $0.contains(" \(status.st_ino) ") }.reduce(0) { sum, line in
    let ends = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt64($0, radix: 16) }
    return ends.count == 2 ? sum + (ends[1] - ends[0]) : sum
  }
}

/// File and, because all eventfds share one file, the eventfd's own number.
private func identity(_ descriptor: Int32) -> [String] {
  var status = stat()
  guard fstat(descriptor, &status) == 0 else { return [] }
  let event = status.st_mode & S_IFMT == 0 ? lines("/proc/self/fdinfo/\(descriptor)") : []
  return ["\(status.st_dev)", "\(status.st_ino)"] + event.filter { $0.hasPrefix("eventfd-id") }
}

private func lines(_ path: String) -> [String] {
  guard let file = fopen(path, "r") else { return [] }
  defer { fclose(file) }
  var lines: [String] = []
  var line = [CChar](repeating: 0, count: 1024)
  while fgets(&line, 1024, file) != nil {
    lines.append(String(decoding: line.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self))
  }
  return lines
}
