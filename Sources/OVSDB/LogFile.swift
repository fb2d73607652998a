import Glibc
import Linux

/// The OVSDB file format: records of `OVSDB JSON <length> <sha1>\n<text>\n`; length (bytes) and SHA-1 cover the text
/// with its newline.
///
/// A write that fails, or that a crash cut short, leaves at most one torn record at the end: the first is taken back
/// at once, the second is cut off when the file is opened. A damaged record with whole ones after it is something
/// else, and is refused rather than cut.
final class LogFile {
  let path: String
  private let file: FileDescriptor
  /// Bytes of whole records: where the next one goes.
  private(set) var length: Int
  private(set) var records: Int
  /// The file may have bytes beyond `length` that must go first.
  private var hasTornTail = false

  private init(_ path: String, _ file: consuming FileDescriptor, length: Int, records: Int) {
    self.path = path
    self.file = file
    self.length = length
    self.records = records
  }

  /// Opens an existing file and gives every record's text to `body`, in order.
  static func open(
    _ path: String, _ body: (_ text: [UInt8], _ number: Int) throws(StorageError) -> Void
  ) throws(StorageError) -> LogFile {
    let bytes = try readFile(path)
    let file = try openForWriting(path)
    var reader = LogReader(bytes)
    var problem: String?
    while problem == nil {
      switch reader.next() {
      case .record(let text): try body(text, reader.count)
      case .end: return LogFile(path, file, length: reader.position, records: reader.count)
      case .damaged(let reason): problem = reason
      }
    }
    let place = "\(path): record \(reader.count + 1) at byte \(reader.position): \(problem ?? "")"
    if reader.count == 0 { throw StorageError("\(place); this is not an OVSDB database file") }
    if reader.hasRecordBeyondDamage() {
      throw StorageError(
        "\(place), with whole records after it; restore the file from a backup, or cut it there with "
          + "`truncate -s \(reader.position) \(path)` to lose what follows")
    }
    Log.warning(
      "ovsdb", "\(place); the last \(bytes.count - reader.position) bytes were never acknowledged and go")
    let log = LogFile(path, file, length: reader.position, records: reader.count)
    log.hasTornTail = true
    try log.dropTornTail()
    return log
  }

  private static func openForWriting(_ path: String) throws(StorageError) -> FileDescriptor {
    do throws(SystemError) {
      return try FileDescriptor.open(path, O_RDWR)
    } catch { throw StorageError(error.description) }
  }

  /// Writes a new file with these records in place of whatever `path` was, atomically.
  static func replace(_ path: String, _ texts: [[UInt8]]) throws(StorageError) -> LogFile {
    let temporary = path + ".tmp"
    unlink(temporary)
    do throws(StorageError) {
      let log = try create(temporary, as: path)
      for text in texts { try log.append(text) }
      try log.synchronize()
      guard rename(temporary, path) == 0 else {
        throw StorageError(SystemError.last("replace \(path)").description)
      }
      try synchronizeDirectory(of: path)
      return log
    } catch {
      unlink(temporary)
      throw error
    }
  }

  private static func create(_ temporary: String, as path: String) throws(StorageError) -> LogFile {
    do throws(SystemError) {
      let file = try FileDescriptor.open(temporary, O_RDWR | O_CREAT | O_EXCL, mode: 0o640)
      return LogFile(path, file, length: 0, records: 0)
    } catch { throw StorageError(error.description) }
  }

  /// Adds a record whose text is `text` and a newline.
  func append(_ text: [UInt8]) throws(StorageError) {
    try dropTornTail()
    var body = text
    body.append(UInt8(ascii: "\n"))
    var record = Array("OVSDB JSON \(body.count) \(SHA1.hexadecimal(body[...]))\n".utf8)
    record.append(contentsOf: body)
    hasTornTail = true
    var written = 0
    while written < record.count {
      let count = record[written...].withContiguousStorageIfAvailable {
        pwrite(file.raw, $0.baseAddress, $0.count, off_t(length + written))
      }
      guard let count, count > 0 else {
        if errno == EINTR { continue }
        let error = SystemError.last("write \(path)")
        try? dropTornTail()
        throw StorageError(error.description)
      }
      written += count
    }
    hasTornTail = false
    length += record.count
    records += 1
  }

  /// Takes back what was appended since `length` and `records` were these.
  func rewind(length: Int, records: Int) {
    self.length = length
    self.records = records
    hasTornTail = true
    try? dropTornTail()
  }

  /// Returns once everything appended is on the medium.
  func synchronize() throws(StorageError) {
    guard fdatasync(file.raw) == 0 else {
      throw StorageError(SystemError.last("write \(path) to the disk").description)
    }
  }

  private func dropTornTail() throws(StorageError) {
    guard hasTornTail else { return }
    guard ftruncate(file.raw, off_t(length)) == 0 else {
      throw StorageError(SystemError.last("cut the end of \(path)").description)
    }
    hasTornTail = false
  }

  private static func synchronizeDirectory(of path: String) throws(StorageError) {
    do throws(SystemError) {
      let directory = try FileDescriptor.open(directoryName(path), O_RDONLY | O_DIRECTORY)
      guard fsync(directory.raw) == 0 else { throw .last("write the directory of \(path) to the disk") }
    } catch { throw StorageError(error.description) }
  }
}

/// All bytes of a file.
func readFile(_ path: String) throws(StorageError) -> [UInt8] {
  do throws(SystemError) {
    let file = try FileDescriptor.open(path, O_RDONLY)
    return try readAll(file.raw, path)
  } catch { throw StorageError(error.description) }
}

private func readAll(_ raw: Int32, _ path: String) throws(SystemError) -> [UInt8] {
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 20)
  while true {
    let count = read(raw, &chunk, chunk.count)
    if count == 0 { return bytes }
    if count < 0 {
      if errno == EINTR { continue }
      throw .last("read \(path)")
    }
    bytes.append(contentsOf: chunk[..<count])
  }
}

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
