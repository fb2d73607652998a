import Glibc
import JSONRPC
import Linux
import OVSDB

extension FuzzTarget {
  /// Text to JSON and back, whole and in two pieces.
  static let json = FuzzTarget("json", seeds: { messages.map { Array($0.utf8) } }) { bytes in
    let limits = JSONFramer.Limits(bytes: 1 << 16, depth: 20, values: 10_000)
    var whole = JSONFramer(limits: limits)
    whole.feed(bytes)
    var pieces = JSONFramer(limits: limits)
    pieces.feed(bytes[..<(bytes.count / 2)])
    var fromPieces: [JSON] = []
    var error = drain(&pieces, into: &fromPieces)
    if !error {
      pieces.feed(bytes[(bytes.count / 2)...])
      error = drain(&pieces, into: &fromPieces)
    }
    var documents: [JSON] = []
    let wholeError = drain(&whole, into: &documents)
    require(wholeError == error && documents == fromPieces, "pieces are read as the whole is")
    for document in documents {
      let again = try? JSON(parsing: document.text)
      require(again == document, "what was written is read as what it was")
      if let message = try? JSONRPC.Message(document) {
        require((try? JSONRPC.Message(message.json)) == message, "a message is what it was")
      }
    }
  }

  static let databaseSchema = FuzzTarget("database-schema", seeds: { [Array(schemaText.utf8)] }) { bytes in
    guard let json = try? JSON(parsing: bytes), let schema = try? DatabaseSchema(json) else { return }
    require(
      (try? DatabaseSchema(schema.json))?.json == schema.json, "a schema that was written is read as it was")
  }

  /// A database file with anything in it is opened, or refused.
  static let databaseFile = FuzzTarget("database-file", seeds: { [] }) { bytes in
    let directory = try temporaryDirectory()
    defer { removeDirectory(directory) }
    let path = directory + "/conf.db"
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT)
    _ = write(file.raw, bytes, bytes.count)
    let server = DatabaseServer(try EventLoop())
    _ = try? server.open(file: path) { () throws(StorageError) in
      throw StorageError("the file exists")
    }
    server.close()
  }

  /// A client that says anything to a server with the real schema.
  static let databaseSession = FuzzTarget("database-session", seeds: { messages.map { Array($0.utf8) } }) {
    bytes in
    let directory = try temporaryDirectory()
    defer { removeDirectory(directory) }
    let loop = try EventLoop()
    let server = DatabaseServer(loop)
    try server.add(Database(schema: schema))
    try server.listen(on: Remote("punix:\(directory)/db.sock"))
    let client = try UnixSocket.connect("\(directory)/db.sock")
    _ = send(client.raw, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    shutdown(client.raw, Int32(SHUT_WR))
    // Until the server has read to the end and closed, which it does at once, or a bound.
    var isClosed = false
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    for _ in 0..<200 where !isClosed {
      loop.turn(atMostMilliseconds: 1)
      while true {
        let count = read(client.raw, &buffer, buffer.count)
        if count == 0 || (count < 0 && errno != EAGAIN) { isClosed = true }
        if count <= 0 { break }
      }
    }
    server.close()
  }

  private static func drain(_ framer: inout JSONFramer, into documents: inout [JSON]) -> Bool {
    do {
      while let document = try framer.next() { documents.append(document) }
      return false
    } catch { return true }
  }

  /// Messages that between them use every operation and method.
  private static let messages = [
    #"{"id":1,"method":"list_dbs","params":[]}"#,
    #"{"id":2,"method":"get_schema","params":["S"]}"#,
    #"{"id":3,"method":"monitor","params":["S",null,{"T":[{"columns":["n","s","m"],"select":{"initial":true}}]}]}"#,
    #"{"id":4,"method":"monitor_cond_since","params":["S","m",{"T":[{"where":[["n","==",1]]}]},"00000000-0000-0000-0000-000000000000"]}"#,
    #"{"id":5,"method":"transact","params":["S",{"op":"insert","table":"T","row":{"n":1,"s":["set",["a","b"]],"m":["map",[["k","v"]]]},"uuid-name":"x"},{"op":"mutate","table":"T","where":[["_uuid","==",["named-uuid","x"]]],"mutations":[["n","+=",7],["s","delete","a"]]},{"op":"select","table":"T","where":[]},{"op":"update","table":"T","where":[["n",">",1]],"row":{"n":2}},{"op":"wait","table":"T","where":[],"timeout":0,"columns":["n"],"until":"==","rows":[{"n":2}]},{"op":"delete","table":"T","where":[["s","includes",["set",[]]]]},{"op":"comment","comment":"c"},{"op":"commit","durable":false},{"op":"assert","lock":"l"},{"op":"abort"}]}"#,
    #"{"id":6,"method":"lock","params":["l"]}{"id":7,"method":"steal","params":["l"]}{"id":8,"method":"unlock","params":["l"]}"#,
    #"{"id":null,"method":"cancel","params":[5]}{"id":9,"method":"echo","params":[1.5e3,"é\u00e9\ud83d\ude00\n",-0,true,null]}"#,
  ]

  private static let schemaText = #"""
    {"name":"S","version":"1.0.0","tables":{"T":{"isRoot":true,"maxRows":9,"indexes":[["n"]],"columns":{
    "n":{"type":{"key":{"type":"integer","minInteger":0,"maxInteger":99}}},
    "s":{"type":{"key":{"type":"string","maxLength":9},"min":0,"max":"unlimited"}},
    "m":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
    "r":{"type":{"key":{"type":"uuid","refTable":"U","refType":"strong"},"min":0,"max":3}},
    "e":{"type":{"key":{"type":"string","enum":["set",["x","y"]]},"min":0},"ephemeral":true}}},
    "U":{"columns":{"x":{"type":"real"},"w":{"type":{"key":{"type":"uuid","refTable":"T","refType":"weak"},"min":0}}}}}}
    """#
  private static let schema: DatabaseSchema = {
    guard let json = try? JSON(parsing: schemaText), let schema = try? DatabaseSchema(json) else {
      fatalError("the fuzz targets' schema is wrong")
    }
    return schema
  }()
}

/// A fresh directory in memory, if there is such a file system.
func temporaryDirectory() throws -> String {
  var template = Array("/dev/shm/switchd-fuzz-XXXXXX\0".utf8).map { CChar(bitPattern: $0) }
  guard mkdtemp(&template) != nil else { throw SystemError.last("make a temporary directory") }
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

func removeDirectory(_ path: String) {
  guard let stream = opendir(path) else { return }
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name != ".", name != ".." { unlink("\(path)/\(name)") }
  }
  closedir(stream)
  rmdir(path)
}
