import Linux

/// The commands every daemon's control socket has, as ovs-appctl(8), "Common Commands", describes them.
enum StandardCommands {
  static func table(_ program: String, _ loop: EventLoop, _ exit: @escaping () -> Void) -> [ControlCommand] {
    [
      ControlCommand("version") { _ throws(ControlError) in "\(program) \(productVersion)\n" },
      ControlCommand(deferred: "exit", usage: "[--cleanup]", arguments: 0...1) { _, reply in
        reply.succeed("")
        loop.later { loop.later(exit) }  // after the turn that sends the reply
      },
      ControlCommand("vlog/set", usage: "{[MODULE:][DESTINATION:]LEVEL}...", arguments: 1...Int.max) {
        specifications throws(ControlError) in
        for specification in specifications {
          do throws(UsageError) { try Log.apply(specification: specification) } catch {
            throw ControlError("\(error)\n")
          }
        }
        return ""
      },
      ControlCommand("vlog/list") { _ throws(ControlError) in levels() },
      ControlCommand("vlog/reopen") { _ throws(ControlError) in
        do throws(SystemError) { try Log.reopen() } catch { throw ControlError("\(error)\n") }
        return ""
      },
      ControlCommand("vlog/close") { _ throws(ControlError) in
        Log.closeFile()
        return ""
      },
      // No line is held back, whatever the rate.
      ControlCommand("vlog/disable-rate-limit", usage: "[MODULE]...", arguments: 0...Int.max) {
        _ throws(ControlError) in ""
      },
      ControlCommand("vlog/enable-rate-limit", usage: "[MODULE]...", arguments: 0...Int.max) {
        _ throws(ControlError) in throw ControlError("this log has no rate limit\n")
      },
    ]
  }

  /// One line per module, in the columns that ovs-appctl(8) shows.
  private static func levels() -> String {
    func column(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(1, width - text.count))
    }
    var text = "                 console    syslog    file\n                 -------    ------    ------\n"
    for (module, levels) in Log.levels() {
      text += column(module, 18) + column(levels.console.name.uppercased(), 11) + column("OFF", 11)
      text += levels.file.name.uppercased() + "\n"
    }
    return text
  }
}
