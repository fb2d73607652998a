import OVSDB

/// Bridges, ports and interfaces by name, with fake bridges as bridges of their own.
///
/// A fake bridge is a port with `fake_bridge` and a VLAN tag; the other ports of its bridge with the same tag count as
/// the fake bridge's.
final class SwitchView {
  final class Bridge {
    let name: String
    /// Nil for a fake bridge.
    let row: Row?
    let parent: Bridge?
    /// A fake bridge's VLAN; 0 for a real one.
    let vlan: Int64
    fileprivate(set) var ports: [Port] = []
    fileprivate(set) var children: [Bridge] = []

    fileprivate init(_ name: String, _ row: Row?, parent: Bridge? = nil, vlan: Int64 = 0) {
      self.name = name
      self.row = row
      self.parent = parent
      self.vlan = vlan
    }

    /// The real bridge that carries it.
    var real: Bridge { parent ?? self }
  }

  final class Port {
    let name: String
    let row: Row
    unowned let bridge: Bridge
    fileprivate(set) var interfaces: [Interface] = []

    fileprivate init(_ name: String, _ row: Row, _ bridge: Bridge) {
      self.name = name
      self.row = row
      self.bridge = bridge
    }
  }

  final class Interface {
    let name: String
    let row: Row
    unowned let port: Port

    fileprivate init(_ name: String, _ row: Row, _ port: Port) {
      self.name = name
      self.row = row
      self.port = port
    }
  }

  private(set) var bridges: [String: Bridge] = [:]
  private(set) var ports: [String: Port] = [:]
  private(set) var interfaces: [String: Interface] = [:]
  private let copy: WorkingCopy
  private let root: Row?
  private var isVerified = false

  init(_ copy: WorkingCopy, _ root: Row?) {
    self.copy = copy
    self.root = root
    guard let root else { return }
    let rows = copy.references(root, "bridges", "Bridge")
    // First all bridges, fake ones too: a port may belong to a fake bridge that comes after it.
    for row in rows { addBridge(row) }
    for row in rows {
      guard let bridge = bridges[copy[row, "name"].string ?? ""], bridge.row == row else { continue }
      for port in copy.references(row, "ports", "Port") { addPort(port, of: bridge) }
    }
  }

  private func addBridge(_ row: Row) {
    guard let name = copy[row, "name"].string, bridges[name] == nil else { return }
    let bridge = Bridge(name, row)
    bridges[name] = bridge
    for port in copy.references(row, "ports", "Port") {
      guard let vlan = fakeVLAN(port), let name = copy[port, "name"].string, bridges[name] == nil else {
        continue
      }
      let child = Bridge(name, nil, parent: bridge, vlan: vlan)
      bridges[name] = child
      bridge.children.append(child)
    }
  }

  private func addPort(_ row: Row, of bridge: Bridge) {
    guard let name = copy[row, "name"].string, ports[name] == nil else { return }
    let tag = copy[row, "tag"].integer
    let child = tag.flatMap { tag in bridge.children.first { $0.vlan == tag } }
    let port = insert(name, row, into: child ?? bridge)
    for interface in copy.references(row, "interfaces", "Interface") {
      if let name = copy[interface, "name"].string, interfaces[name] == nil {
        insert(name, interface, into: port)
      }
    }
  }

  /// The VLAN of a port that is a fake bridge.
  private func fakeVLAN(_ port: Row) -> Int64? {
    guard copy[port, "fake_bridge"].bool == true, let tag = copy[port, "tag"].integer,
      (0...4095).contains(tag)
    else { return nil }
    return tag
  }

  // MARK: Changes that need no new view

  @discardableResult
  func insert(_ name: String, _ row: Row, into bridge: Bridge) -> Port {
    let port = Port(name, row, bridge)
    bridge.ports.append(port)
    ports[name] = port
    return port
  }

  func insert(_ name: String, _ row: Row, into port: Port) {
    let interface = Interface(name, row, port)
    port.interfaces.append(interface)
    interfaces[name] = interface
  }

  // MARK: Looking up

  func bridge(_ name: String) -> Bridge? {
    if let root { copy.verify(root, "bridges") }
    return bridges[name]
  }

  func existingBridge(_ name: String) throws(CommandError) -> Bridge {
    if let bridge = bridge(name) { return bridge }
    throw CommandError(
      "no bridge named \(name)", hint: NearestName.hint(for: name, among: bridges.keys.sorted()))
  }

  func realBridge(_ name: String) throws(CommandError) -> (bridge: Bridge, row: Row) {
    let bridge = try existingBridge(name)
    guard let row = bridge.row else { throw CommandError("\(name) is a fake bridge") }
    return (bridge, row)
  }

  /// A port, but not a bridge's local one.
  func port(_ name: String) -> Port? {
    verify()
    guard let port = ports[name], port.bridge.name != name else { return nil }
    return port
  }

  func existingPort(_ name: String) throws(CommandError) -> Port {
    if let port = port(name) { return port }
    throw CommandError(
      "no port named \(name)", hint: NearestName.hint(for: name, among: ports.keys.sorted()))
  }

  /// An interface, but not a bridge's local one.
  func interface(_ name: String) -> Interface? {
    verify()
    guard let interface = interfaces[name], interface.port.bridge.name != name else { return nil }
    return interface
  }

  func existingInterface(_ name: String) throws(CommandError) -> Interface {
    if let interface = interface(name) { return interface }
    throw CommandError(
      "no interface named \(name)", hint: NearestName.hint(for: name, among: interfaces.keys.sorted()))
  }

  /// Refuses a new name that a bridge, port or interface has already.
  func checkUnused(_ name: String, _ what: String) throws(CommandError) {
    verify()
    let problem = "cannot create \(what) named \(name) because"
    if bridges[name] != nil { throw CommandError("\(problem) a bridge named \(name) already exists") }
    if let port = ports[name] {
      throw CommandError("\(problem) a port named \(name) already exists on bridge \(port.bridge.name)")
    }
    if let interface = interfaces[name] {
      throw CommandError(
        "\(problem) an interface named \(name) already exists on bridge \(interface.port.bridge.name)")
    }
  }

  /// The outcome depends on which ports and interfaces there are.
  func verify() {
    guard !isVerified else { return }
    isVerified = true
    if let root { copy.verify(root, "bridges") }
    for row in copy.rows("Bridge") { copy.verify(row, "ports") }
    for row in copy.rows("Port") { copy.verify(row, "interfaces") }
  }
}
