import Glibc
import JSONRPC
import Linux

/// Finds and reads the schema a new database is created from.
public enum SchemaFile {
  public static let name = "vswitch.ovsschema"

  /// Reads the schema at `option`, else the installed one (`../share/switchd` of the program), else that of the source
  /// tree the program was built in.
  public static func load(_ option: String? = nil) throws(StorageError) -> DatabaseSchema {
    let places = option.map { [$0] } ?? standardPlaces()
    for place in places where access(place, F_OK) == 0 { return try read(place) }
    throw StorageError(
      "the schema was not found (looked at \(places.joined(separator: ", "))); say where it is with --schema=FILE"
    )
  }

  private static func standardPlaces() -> [String] {
    guard let program = programPath() else { return [name] }
    let directory = directoryName(program)
    // .build/<triple>/<configuration>/program
    return ["\(directory)/../share/switchd/\(name)", "\(directory)/../../../etc/\(name)"]
  }

  private static func programPath() -> String? {
    guard let path = realpath("/proc/self/exe", nil) else { return nil }
    defer { free(path) }
    return String(cString: path)
  }

  /// Reads the schema in `path`.
  public static func read(_ path: String) throws(StorageError) -> DatabaseSchema {
    let bytes = try readFile(path)
    let json: JSON
    do throws(JSONError) { json = try JSON(parsing: bytes) } catch {
      throw StorageError("\(path): \(error)")
    }
    do throws(OVSDBError) { return try DatabaseSchema(json) } catch {
      throw StorageError("\(path): \(error.details)")
    }
  }
}
