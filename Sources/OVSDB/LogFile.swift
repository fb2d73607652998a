import Glibc
import Linux

/// The OVSDB file format: records of `OVSDB JSON <length> <sha1>\n<text>\n`; length (bytes) and SHA-1 cover the text
/// with its newline.
///
/// A write that fails, or that a crash cut short, leaves at most one torn record at the end: the first is taken back
/// at once, the second is cut off when the file is opened. A damaged record with whole ones after it is something
/// else, and is refused rather than cut.
final class LogFile {
  /// Where the file is, or will be once it is whole.
  let path: String
  let file: OpenFile
  /// Bytes of whole records: where the next one goes.
  private(set) var length: Int
  private(set) var records: Int
  /// The file may have bytes beyond `length` that must go first.
  private var hasTornTail = false

  /// - Parameters:
  ///   - length: bytes of whole records that are there.
  ///   - records: how many of them.
  init(_ path: String, _ file: OpenFile, length: Int = 0, records: Int = 0) {
    self.path = path
    self.file = file
    self.length = length
    self.records = records
  }

  /// Opens an existing file and gives every record's text to `body`, in order.
  static func open(
    _ path: String, _ body: (_ text: ArraySlice<UInt8>, _ number: Int) throws(StorageError) -> Void
  ) throws(StorageError) -> LogFile {
    let file = try OpenFile(path, O_RDWR)
    let bytes = try file.readAll()
    var reader = LogReader(bytes)
    guard let damage = try reader.readAll(path, body) else {
      return LogFile(path, file, length: reader.position, records: reader.count)
    }
    Log.warning(
      "ovsdb", "\(damage); the last \(bytes.count - reader.position) bytes were never acknowledged and go")
    let log = LogFile(path, file, length: reader.position, records: reader.count)
    log.hasTornTail = true
    try log.dropTornTail()
    return log
  }

  /// Writes a new file with records of these texts in place of whatever `path` was, atomically.
  static func replace(_ path: String, _ texts: [[UInt8]]) throws(StorageError) -> LogFile {
    let temporary = temporaryName(path)
    do throws(StorageError) {
      let log = LogFile(path, try createTemporary(path))
      for text in texts { try log.append(LogRecord.framed(text)) }
      try log.file.synchronize()
      try log.takePlace()
      try OpenFile.directory(of: path).synchronize()
      return log
    } catch {
      unlink(temporary)
      throw error
    }
  }

  static func temporaryName(_ path: String) -> String { path + ".tmp" }

  /// Makes the file that is to replace the one at `path`, with its owner and permissions.
  static func createTemporary(_ path: String) throws(StorageError) -> OpenFile {
    unlink(temporaryName(path))
    let file = try OpenFile(temporaryName(path), O_RDWR | O_CREAT | O_EXCL)
    if exists(path), let old = try? OpenFile(path, O_RDONLY) { file.adopt(old) }
    return file
  }

  /// Renames the temporary file to what it replaces.
  func takePlace() throws(StorageError) {
    guard rename(Self.temporaryName(path), path) == 0 else {
      throw StorageError(SystemError.last("replace \(path)").description)
    }
  }

  /// Adds one whole record (`LogRecord.framed`).
  func append(_ record: [UInt8]) throws(StorageError) { try append(record, records: 1) }

  /// Adds whole records, or none of them.
  func append(_ bytes: [UInt8], records count: Int) throws(StorageError) {
    try dropTornTail()
    hasTornTail = true
    do throws(StorageError) { try file.write(bytes[...], at: length) } catch {
      try? dropTornTail()
      throw error
    }
    hasTornTail = false
    length += bytes.count
    records += count
  }

  /// Counts what was written to the file by other hands.
  func skip(_ bytes: Int, _ count: Int) {
    length += bytes
    records += count
  }

  private func dropTornTail() throws(StorageError) {
    guard hasTornTail else { return }
    try file.truncate(to: length)
    hasTornTail = false
  }
}
