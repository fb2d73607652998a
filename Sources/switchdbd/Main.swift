import Glibc
import JSONRPC
import Linux
import OVSDB

/// The database daemon: serves OVSDB files to the switch and to whoever configures it.
@main struct Program {
  static func main() {
    do throws(UsageError) {
      let options = try Options(CommandLine.arguments)
      exit(DatabaseDaemon.run(options))
    } catch {
      printError("switchdbd: \(error); see switchdbd --help")
      exit(2)
    }
  }
}
