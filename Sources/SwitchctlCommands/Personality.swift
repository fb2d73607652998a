import Glibc
import JSONRPC
import Linux

/// Under which name the program was called. Through a link called `ovs-vsctl` it is a drop-in for the program of that
/// name (of Open vSwitch 3.1): it prints what that prints, without advice, ends as that does, and finds the database
/// where that would.
enum Personality: Equatable, Sendable {
  case switchctl
  case ovsVsctl

  /// - Parameter program: the name it was called by, without a directory.
  init(program: String) { self = program == "ovs-vsctl" ? .ovsVsctl : .switchctl }

  /// The run directory of Open vSwitch as distributions build it.
  static let openVSwitchRunDirectory = "/var/run/openvswitch"

  /// Where the database is when no option tells.
  ///
  /// `$OVS_RUNDIR/db.sock`, or /run/switchd/db.sock. A drop-in that finds nothing there looks where Open vSwitch has its
  /// own: somebody who exchanges only this program keeps the database.
  func defaultDatabase(_ options: GlobalOptions) -> String {
    let own = "\(RunDirectory.resolve(options.runDirectory))/db.sock"
    guard self == .ovsVsctl, options.runDirectory == nil, getenv("OVS_RUNDIR") == nil, !exists(own) else {
      return "unix:\(own)"
    }
    return "unix:\(Self.openVSwitchRunDirectory)/db.sock"
  }

  /// The remotes to try. For a drop-in the path of a socket begins in the run directory, as for all of Open vSwitch.
  func remotes(_ options: GlobalOptions) throws(CommandError) -> [Remote] {
    let remotes = try Remote.all(in: options.database ?? defaultDatabase(options))
    guard self == .ovsVsctl else { return remotes }
    return remotes.map { remote in
      guard case .unix(let path) = remote, !path.hasPrefix("/") else { return remote }
      return .unix(path: "\(RunDirectory.resolve(options.runDirectory))/\(path)")
    }
  }

  /// Why an interface could not be set up. `ovs-vsctl` tells it, and then ends as if all were well.
  func setupFailure(_ name: String, _ error: String?) -> String {
    let problem = "Error detected while setting up '\(name)'" + (error.map { ": \($0)" } ?? "")
    return switch self {
    case .switchctl: problem + (error == nil ? "; the log of switchd tells why" : "")
    case .ovsVsctl: problem + ".  See ovs-vswitchd log for details."
    }
  }

  /// What `ovs-vsctl` says once after such failures.
  var afterSetupFailures: String? {
    self == .ovsVsctl ? "The default log directory is \"/var/log/openvswitch\"." : nil
  }

  /// The answer to --version. The first line of `ovs-vsctl`'s is looked at by scripts for what commands there are.
  func version(_ program: String) -> String {
    switch self {
    case .switchctl: "\(program) \(productVersion)\n"
    case .ovsVsctl: "\(program) (Open vSwitch) 3.1.0\nDB Schema 8.3.1\nswitchctl \(productVersion)\n"
    }
  }

  func exitStatus(_ error: CommandError) -> Int32 {
    self == .ovsVsctl && error.kind == .usage ? 1 : error.exitStatus
  }

  func sentence(_ error: CommandError) -> String {
    self == .ovsVsctl ? error.message : error.sentence
  }
}
