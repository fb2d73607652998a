import CLinux
import Glibc

/// The process's log: one line per event, `2026-01-31T12:00:00.123Z|module|LEVEL|text`, to standard error and, once
/// opened, to a file. Any thread may write; a packet path never does.
public enum Log {
  /// In the order of severity; a module's lines above its level are not written.
  public enum Level: Int, Comparable, CaseIterable, Sendable {
    case off, emergency, error, warning, info, debug

    public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }

    /// The names `ovs-appctl vlog/set` uses: off, emer, err, warn, info, dbg.
    public var name: String {
      switch self {
      case .off: "off"
      case .emergency: "emer"
      case .error: "err"
      case .warning: "warn"
      case .info: "info"
      case .debug: "dbg"
      }
    }

    public init?(name: String) {
      guard let level = Self.allCases.first(where: { $0.name == name.lowercased() }) else { return nil }
      self = level
    }
  }

  /// Where lines go, each with levels of its own.
  public enum Destination: String, CaseIterable, Sendable {
    case console, file
  }

  /// The level of each destination.
  public struct Levels: Equatable, Sendable {
    public fileprivate(set) var console = Level.info
    public fileprivate(set) var file = Level.info

    fileprivate mutating func set(_ level: Level, _ destination: Destination?) {
      if destination != .file { console = level }
      if destination != .console { file = level }
    }
  }

  private struct State {
    var defaultLevels = Levels()
    var moduleLevels: [String: Levels] = [:]
    var knownModules: Set<String> = []
    var file: (path: String, descriptor: Int32)?
    var toStandardError = true
  }

  private static let state = Locked(State())

  public static func error(_ module: String, _ text: @autoclosure () -> String) {
    write(.error, module, text)
  }
  public static func warning(_ module: String, _ text: @autoclosure () -> String) {
    write(.warning, module, text)
  }
  public static func info(_ module: String, _ text: @autoclosure () -> String) { write(.info, module, text) }
  public static func debug(_ module: String, _ text: @autoclosure () -> String) {
    write(.debug, module, text)
  }

  /// Sets the level of one module, or of all, at one destination, or at all.
  public static func setLevel(_ level: Level, module: String? = nil, destination: Destination? = nil) {
    state.withLock { state in
      if let module {
        state.moduleLevels[module, default: state.defaultLevels].set(level, destination)
      } else {
        state.defaultLevels.set(level, destination)
        for module in state.moduleLevels.keys { state.moduleLevels[module]?.set(level, destination) }
      }
    }
  }

  /// Every module that has logged or was set, with its levels.
  public static func levels() -> [(module: String, levels: Levels)] {
    state.withLock { state in
      state.knownModules.union(state.moduleLevels.keys).sorted()
        .map { ($0, state.moduleLevels[$0] ?? state.defaultLevels) }
    }
  }

  /// Appends to `path` from now on; opens it anew when called again (log rotation).
  public static func open(file path: String) throws(SystemError) {
    let descriptor = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_APPEND).release()
    let old = state.withLock { state in
      let old = state.file?.descriptor
      state.file = (path, descriptor)
      return old
    }
    if let old { close(old) }
  }

  /// Makes the current file, if there is one, the user's.
  static func give(to user: UserIdentity) throws(SystemError) {
    if let file = state.withLock({ $0.file }) { try user.own(file.descriptor, file.path) }
  }

  /// Reopens the current file, if there is one.
  public static func reopen() throws(SystemError) {
    if let path = state.withLock({ $0.file?.path }) { try open(file: path) }
  }

  /// No longer writes to a file.
  public static func closeFile() {
    let old = state.withLock { state in
      defer { state.file = nil }
      return state.file?.descriptor
    }
    if let old { close(old) }
  }

  /// A daemon that gave up its terminal logs to its file only.
  public static func setStandardError(_ on: Bool) { state.withLock { $0.toStandardError = on } }

  private static func write(_ level: Level, _ module: String, _ text: () -> String) {
    let wanted = state.withLock { state in
      state.knownModules.insert(module)
      let levels = state.moduleLevels[module] ?? state.defaultLevels
      return (
        console: state.toStandardError && level <= levels.console,
        file: state.file != nil && level <= levels.file
      )
    }
    guard wanted.console || wanted.file else { return }
    let line = Array("\(timestamp())|\(module)|\(level.name.uppercased())|\(text())\n".utf8)
    state.withLock { state in
      if wanted.console { _ = Glibc.write(2, line, line.count) }
      if wanted.file, let file = state.file { _ = Glibc.write(file.descriptor, line, line.count) }
    }
  }

  private static func timestamp() -> String {
    let now = WallClock.now()
    return WallClock.text(now.tv_sec, milliseconds: now.tv_nsec / 1_000_000)
  }
}
