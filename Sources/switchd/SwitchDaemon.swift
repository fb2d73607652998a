import CLinux
import Configuration
import Datapath
import Glibc
import JSONRPC
import Linux
import Netlink
import OVSDB

/// `switchd` from start to end. Everything but forwarding happens on one event loop; a database this process hosts is
/// reached through its socket like any other, so there is one way of following.
final class SwitchDaemon {
  private let daemon: Daemon
  private let loop: EventLoop
  private var signals: Signals?
  private var database: DatabaseServer?
  private var datapath: Datapath?
  private var follower: ConfigurationFollower?
  private var control: ControlServer?

  /// Runs until told to end; the process's exit status.
  static func run(_ options: Options) -> Int32 {
    do throws(StartError) {
      let daemon = try SwitchDaemon(options)
      daemon.loop.run()
      daemon.stop()
      Log.info("switchd", "ended")
      return 0
    } catch {
      printError("switchd: \(error)")
      return 1
    }
  }

  private init(_ options: Options) throws(StartError) {
    do throws(SystemError) {
      daemon = try Daemon.start(options.daemon)
      loop = try EventLoop()
    } catch { throw StartError(error.description) }
    do throws(StartError) {
      try prepareProcess()
      try dropPrivileges()
      let remotes = try openDatabase(options)
      try startSwitching(remotes, options.tls)
    } catch {
      stop()
      throw error
    }
    daemon.ready()
    Log.info("switchd", "switchd \(productVersion) is running in \(daemon.options.runDirectory)")
  }

  /// Signals before the first thread, so that every thread inherits the mask.
  private func prepareProcess() throws(StartError) {
    do throws(SystemError) {
      signals = try Signals(loop, [SIGTERM, SIGINT, SIGHUP]) { [loop] number in
        guard number == SIGHUP else { return loop.stop() }
        do throws(SystemError) { try Log.reopen() } catch { Log.error("switchd", error.description) }
      }
      guard cl_guest_fault_install() == 0 else { throw .last("install the handler for guest memory faults") }
    } catch { throw StartError(error.description) }
    raiseDescriptorLimit()
  }

  /// What the switch needs of root, and what it is without.
  private static let needs: [(capability: Capability, use: String)] = [
    (.administerNetwork, "TAP devices cannot be made, and nothing of interfaces be changed"),
    (.rawSockets, "network interfaces cannot be ports"),
    (.changeOwner, "sockets cannot be given to another user"),
    (.actAsOwner, "sockets given to another user keep their mode"),
    (.overrideModes, "sockets of other users' guests cannot be reached"),
    (.administerSystem, "of a TAP device that is moved into a network namespace the link is not seen"),
  ]

  /// What only the agent needs is its alone. Whatever comes from outside is read after this.
  private func dropPrivileges() throws(StartError) {
    do throws(SystemError) {
      let agent = try NamespaceAgent.start(user: daemon.options.user)
      let own = Self.needs.map(\.capability).filter { $0 != .administerSystem }
      let missing = try daemon.dropPrivileges(keeping: own) + agent
      for need in Self.needs where missing.contains(need.capability) {
        Log.warning("switchd", "without \(need.capability.name) \(need.use)")
      }
    } catch { throw StartError(error.description) }
  }

  /// Every guest costs several descriptors.
  private func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }

  /// Starts serving the database if it is ours; where it can be reached.
  private func openDatabase(_ options: Options) throws(StartError) -> [Remote] {
    switch options.database(runDirectory: daemon.options.runDirectory) {
    case .followed(let remotes): return remotes
    case .hosted(let file, let remotes):
      let server = DatabaseServer(loop)
      server.isDurable = options.isDurable
      database = server
      server.tls = options.tls.isEmpty ? .switchDatabase : options.tls
      server.confineSockets(to: daemon.options.runDirectory)
      do throws(StorageError) {
        try server.open(file: file) { () throws(StorageError) in try SchemaFile.load(options.schema) }
      } catch { throw StartError(error.description) }
      do throws(SystemError) {
        for remote in remotes { try server.add(remote, isOptional: remote == .managers) }
        guard let own = server.firstListener else {
          throw SystemError("the database needs a remote where clients are accepted", code: 0)
        }
        return [own.counterpart]
      } catch { throw StartError(error.description) }
    }
  }

  private func startSwitching(_ remotes: [Remote], _ tls: TLSSettings) throws(StartError) {
    let links: KernelLinks
    do throws(NetlinkError) { links = try KernelLinks(loop) } catch { throw StartError(error.description) }
    do throws(SystemError) {
      let datapath = try Datapath(loop: loop)
      self.datapath = datapath
      let follower = ConfigurationFollower(
        loop, remotes: remotes, datapath, PortFactory(loop, links),
        runDirectory: daemon.options.runDirectory, tls: tls.isEmpty ? nil : tls.configuration)
      self.follower = follower
      datapath.onStatusChange = { [weak follower] port in follower?.statusChanged(port) }
      if let path = daemon.options.controlSocket {
        let control = try ControlServer(loop, path: path, program: "switchd") { [loop] in loop.stop() }
        for command in RuntimeCommands(loop, datapath, follower.reconciler).table { control.add(command) }
        if let database { for command in DatabaseCommands.table(database) { control.add(command) } }
        self.control = control
      }
      follower.start()
    } catch { throw StartError(error.description) }
  }

  /// Ports are closed before the database goes, and the pid file goes last: whoever waits for it can start again.
  /// All that watches descriptors is let go before the event loop is.
  private func stop() {
    control?.close()
    control = nil
    follower?.stop()
    follower = nil
    datapath?.stop()
    datapath = nil
    database?.close()
    database = nil
    signals = nil
    daemon.stop()
  }
}

/// Why the daemon does not start: one sentence.
struct StartError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
