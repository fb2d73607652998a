import JSONRPC
import Linux
import OVSDB
import OVSDBTesting

/// A database with the Open_vSwitch schema to run commands against.
protocol TestServer: AnyObject {
  var socket: String { get }
  var remote: Remote { get }
}

extension ReferenceServer: TestServer {}

/// This product's own server, on the test's event loop, with the schema the product ships.
final class ProductServer: TestServer {
  let socket: String
  var remote: Remote { .unix(path: socket) }
  private let directory: ScratchDirectory
  private let server: DatabaseServer

  init(_ loop: EventLoop) throws {
    directory = try ScratchDirectory()
    socket = directory.file("db.sock")
    server = DatabaseServer(loop)
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    try server.add(Database(schema: try SchemaFile.read("/\(root)/etc/\(SchemaFile.name)")))
    try server.listen(on: .listenUnix(path: socket))
  }

  deinit { server.close() }
}
