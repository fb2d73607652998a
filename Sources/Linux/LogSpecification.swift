extension Log {
  /// Sets levels as `vlog/set` and `-v` write them: `[MODULE:][DESTINATION:]LEVEL`, in any order, separated by colons,
  /// commas or spaces. The destination `syslog` is accepted: nothing goes there, so its level changes nothing; so are
  /// `PATTERN:…` and `FACILITY:…`, since lines have one form.
  public static func apply(specification: String) throws(UsageError) {
    let kind = specification.prefix { $0 != ":" }.uppercased()
    if kind == "PATTERN" || kind == "FACILITY" { return }
    var module: String?
    var level = Level.debug
    var destination: Destination?
    var isForSyslog = false
    for word in specification.split(whereSeparator: { $0 == ":" || $0 == " " || $0 == "," }).map(String.init)
    {
      if let named = Level(name: word) {
        level = named
      } else if let named = Destination(rawValue: word.lowercased()) {
        destination = named
      } else if word.lowercased() == "syslog" {
        isForSyslog = true
      } else if !["any", "all"].contains(word.lowercased()) {
        guard module == nil else {
          throw UsageError("\"\(word)\" is not a log level; levels are off, emer, err, warn, info, dbg")
        }
        module = word
      }
    }
    if !isForSyslog { setLevel(level, module: module, destination: destination) }
  }
}
