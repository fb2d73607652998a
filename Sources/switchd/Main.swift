import Glibc
import Linux

/// The switch: follows the database, owns ports and poll threads, forwards frames.
@main struct Program {
  static func main() {
    do throws(UsageError) {
      let options = try Options(Array(CommandLine.arguments.dropFirst()))
      exit(SwitchDaemon.run(options))
    } catch {
      printError("switchd: \(error); see switchd --help")
      exit(2)
    }
  }
}
