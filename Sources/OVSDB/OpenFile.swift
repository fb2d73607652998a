import Glibc
import Linux

/// An open file that the event loop writes and another thread syncs; closed when both have let go of it.
final class OpenFile: Sendable {
  let raw: Int32
  /// For messages.
  let path: String

  init(_ path: String, _ flags: Int32, mode: mode_t = 0o640) throws(StorageError) {
    do throws(SystemError) {
      raw = try FileDescriptor.open(path, flags, mode: mode).release()
    } catch { throw StorageError(error.description) }
    self.path = path
  }

  deinit { close(raw) }

  /// Writes all of `bytes` at `offset`.
  func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(StorageError) {
    var rest = bytes
    var offset = offset
    while !rest.isEmpty {
      let count = rest.withContiguousStorageIfAvailable {
        pwrite(raw, $0.baseAddress, $0.count, off_t(offset))
      }
      guard let count, count > 0 else {
        if errno == EINTR { continue }
        throw StorageError(SystemError.last("write \(path)").description)
      }
      rest = rest.dropFirst(count)
      offset += count
    }
  }

  /// The bytes in `range`, or fewer where the file ends sooner.
  func read(_ range: Range<Int>) throws(StorageError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: range.count)
    var filled = 0
    while filled < bytes.count {
      let count = bytes[filled...].withContiguousMutableStorageIfAvailable {
        pread(raw, $0.baseAddress, $0.count, off_t(range.lowerBound + filled))
      }
      guard let count, count >= 0 else {
        if errno == EINTR { continue }
        throw StorageError(SystemError.last("read \(path)").description)
      }
      if count == 0 { break }
      filled += count
    }
    bytes.removeLast(bytes.count - filled)
    return bytes
  }

  /// All bytes up to the end, of a file that was just opened; a pipe will do.
  func readAll() throws(StorageError) -> [UInt8] {
    var status = stat()
    let size = fstat(raw, &status) == 0 ? Int(status.st_size) : 0
    // One more, so that the end shows without another buffer.
    var bytes = [UInt8](repeating: 0, count: size + 1)
    var filled = 0
    while true {
      let count = bytes[filled...].withContiguousMutableStorageIfAvailable {
        Glibc.read(raw, $0.baseAddress, $0.count)
      }
      guard let count, count >= 0 else {
        if errno == EINTR { continue }
        throw StorageError(SystemError.last("read \(path)").description)
      }
      if count == 0 { break }
      filled += count
      if filled == bytes.count { bytes.append(contentsOf: repeatElement(0, count: max(filled, 1 << 16))) }
    }
    bytes.removeLast(bytes.count - filled)
    return bytes
  }

  func truncate(to length: Int) throws(StorageError) {
    guard ftruncate(raw, off_t(length)) == 0 else {
      throw StorageError(SystemError.last("cut the end of \(path)").description)
    }
  }

  /// Returns once what was written is on the medium.
  func synchronize() throws(StorageError) {
    guard fdatasync(raw) == 0 else {
      throw StorageError(SystemError.last("write \(path) to the disk").description)
    }
  }

  /// The directory that `path` is in, to sync what was renamed there.
  static func directory(of path: String) throws(StorageError) -> OpenFile {
    try OpenFile(directoryName(path), O_RDONLY | O_DIRECTORY)
  }

  /// Gives the file the owner and the permissions of `other`, as far as this process may.
  func adopt(_ other: OpenFile) {
    var status = stat()
    guard fstat(other.raw, &status) == 0 else { return }
    if status.st_uid != geteuid() || status.st_gid != getegid() {
      _ = fchown(raw, status.st_uid, status.st_gid)
    }
    _ = fchmod(raw, status.st_mode & 0o777)
  }
}

/// All bytes of a file.
func readFile(_ path: String) throws(StorageError) -> [UInt8] { try OpenFile(path, O_RDONLY).readAll() }

/// Why a database file cannot be used: one sentence.
public struct StorageError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// The directory part of a path.
public func directoryName(_ path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// The last part of a path.
func baseName(_ path: String) -> String {
  path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
}
