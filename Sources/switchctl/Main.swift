import Glibc
import Linux
import SwitchctlCommands

@main struct Main {
  static func main() {
    // What the client library has to tell, this program says itself.
    Log.setLevel(.off)
    let words = CommandLine.arguments
    let name = words.first?.split(separator: "/").last.map(String.init) ?? "switchctl"
    let terminal = Terminal.standard(program: name)
    do {
      switch Program.run(Array(words.dropFirst()), try EventLoop(), terminal) {
      case .code(let status): exit(status)
      case .timedOut:
        signal(SIGALRM, SIG_DFL)
        raise(SIGALRM)
      }
    } catch {
      terminal.errors("\(name): \(error)\n")
      exit(1)
    }
  }
}
