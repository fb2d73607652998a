import Glibc
import JSONRPC
import Linux

/// Brings a database file to the schema that is installed, when it is opened.
enum SchemaUpgrade {
  enum Decision: Equatable {
    case keep
    case convert
    /// The file is served with its own schema; why.
    case warn(String)
  }

  /// Only upward, and never from one schema of the same version to another that lacks something.
  static func decide(_ file: DatabaseSchema, _ installed: DatabaseSchema) -> Decision {
    guard file.name == installed.name else { return .keep }
    let (old, new) = (Version(file.version), Version(installed.version))
    if new < old {
      return .warn("its schema has version \(file.version), newer than the installed \(installed.version)")
    }
    if old < new { return .convert }
    let isSame = file.checksum != nil && file.checksum == installed.checksum
    if isSame || file.tables == installed.tables { return .keep }
    if let loss = SchemaConversion.loss(from: file, to: installed) {
      return .warn("the installed schema of the same version \(installed.version) lacks \(loss)")
    }
    return .convert
  }

  /// Converts what was read from `path`, after a copy of the file was made beside it.
  ///
  /// - Returns: the rows under the installed schema, which are in the file then; nil to go on as it is.
  static func run(
    _ path: String, _ loaded: Database, _ installed: DatabaseSchema
  ) throws(StorageError) -> (Database, LogFile)? {
    switch decide(loaded.schema, installed) {
    case .keep: return nil
    case .warn(let reason):
      Log.warning("ovsdb", "\(path): \(reason); it is served as it is")
      return nil
    case .convert: break
    }
    let change = "from schema \(loaded.schema.version) to \(installed.version)"
    let converted: Database
    do throws(OVSDBError) {
      converted = try SchemaConversion.converted(loaded, to: installed)
    } catch {
      throw StorageError(
        "\(path) cannot be converted \(change): \(error.details). It was left as it is; correct that with the previous "
          + "version of this program, or name a schema that fits with --schema=FILE")
    }
    let backup = backupName(path, loaded.schema)
    try DatabaseFile.copy(path, to: backup)
    let log = try LogFile.replace(path, LogRecord.whole(converted, comment: "converting database schema"))
    Log.info("ovsdb", "converted \(path) \(change); \(backup) has it as it was")
    return (converted, log)
  }

  /// As OVS's own start script names it: `conf.db.backup8.3.0-1234567890`.
  static func backupName(_ path: String, _ schema: DatabaseSchema) -> String {
    let checksum = schema.checksum.map { "-" + $0.prefix { $0 != " " } } ?? ""
    // Both come from the file.
    let suffix = "\(schema.version)\(checksum)".map { $0 == "/" ? "_" : $0 }
    return "\(path).backup\(String(suffix))"
  }

  /// A schema's version, `x.y.z`. What is no number counts as 0.
  private struct Version: Comparable {
    let parts: [Int]

    init(_ text: String) {
      let numbers = text.split(separator: ".").map { Int($0) ?? 0 }
      parts = numbers + Array(repeating: 0, count: max(0, 3 - numbers.count))
    }

    static func < (a: Version, b: Version) -> Bool { a.parts.lexicographicallyPrecedes(b.parts) }
  }
}
