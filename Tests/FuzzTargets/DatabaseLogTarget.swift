import Glibc
import JSONRPC
import Linux
import OVSDB

extension FuzzTarget {
  /// Records with right checksums and any text, behind a schema: each line of the input is one, and what follows the
  /// last is the file's torn end. The file is opened or refused, looked at, and compacted to what it was.
  static let databaseLog = FuzzTarget("database-log", seeds: { [Array(records.utf8)] }) { bytes in
    let directory = try temporaryDirectory()
    defer { removeDirectory(directory) }
    let path = directory + "/conf.db"
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let tail = lines.removeLast()
    let log = ([Array(schema.utf8)[...]] + lines).flatMap { LogRecord.framed(Array($0)) } + tail
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT)
    require(write(file.raw, log, log.count) == log.count, "the file is written")
    let summary = try? DatabaseCheck.run(path)
    _ = try? DatabaseLog.describe(path, detailed: true) { _ in }
    let server = DatabaseServer(try EventLoop())
    let opened = try? server.open(file: path) { () throws(StorageError) in
      throw StorageError("the file exists")
    }
    server.close()
    require(summary == nil || opened != nil, "what is sound can be opened")
    guard let summary else { return }
    let (_, length) = try DatabaseFile.compact(path, to: nil)
    let again = try DatabaseCheck.run(path)
    require(again.rows == summary.rows && length > 0, "a compacted file has what it had")
  }

  private static let schema = #"""
    {"name":"S","version":"1.0.0","tables":{"T":{"isRoot":true,"indexes":[["n"]],"columns":{"n":{"type":"integer"},"s":{"type":{"key":"string","min":0,"max":"unlimited"}},"m":{"type":{"key":"string","value":"real","min":0,"max":"unlimited"}},"r":{"type":{"key":{"type":"uuid","refTable":"T"},"min":0}},"w":{"type":{"key":{"type":"uuid","refTable":"T","refType":"weak"},"min":0,"max":2}}}}}}
    """#

  /// What a server writes: inserts, differences, deletions.
  private static let records = #"""
    {"_date":1700000000000,"_is_diff":true,"_comment":"c","T":{"11111111-2222-4333-8444-555555555555":{"n":1,"s":["set",["a","b"]],"m":["map",[["k",1.5]]]},"21111111-2222-4333-8444-555555555555":{"r":["uuid","11111111-2222-4333-8444-555555555555"]}}}
    {"_is_diff":true,"T":{"11111111-2222-4333-8444-555555555555":{"s":["set",["b","c"]],"m":["map",[["k",2]]],"w":["uuid","21111111-2222-4333-8444-555555555555"]}}}
    {"_date":1,"T":{"11111111-2222-4333-8444-555555555555":{"s":"x","n":2},"21111111-2222-4333-8444-555555555555":null}}
    OVSDB JSON 12
    """#
}
