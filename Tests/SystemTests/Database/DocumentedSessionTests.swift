import Testing

// What the README tells scripts to do, done.
extension System {
  @Suite struct DocumentedSessions {
    @Test(arguments: DatabaseKind.allCases)
    func `The README's session with Python's standard library adds a port`(kind: DatabaseKind) throws {
      try check("standard library", kind, client: "Python without modules")
    }

    @Test(.needsPython("ovs"), arguments: DatabaseKind.allCases)
    func `The README's session with the package ovs adds a port`(kind: DatabaseKind) throws {
      try check("ovs", kind, client: "Python ovs")
    }

    private func check(_ name: String, _ kind: DatabaseKind, client: String) throws {
      try Matrix.check(kind.rawValue, [client], in: .databases) {
        try withDatabase(kind) { lab, database in
          let socket = database.firstRemote.dropFirst("unix:".count)
          let script = try Self.script(name).replacing("/run/switchd/db.sock", with: socket)
            .replacing("/usr/local/share/switchd", with: "\(Location.package)/etc")
          let said = try must(["/usr/bin/python3", "-c", script], within: 60)
          func vsctl(_ arguments: String...) throws -> String {
            try must(["ovs-vsctl", "--timeout=20", "--no-wait", "--db=\(database.remote)"] + arguments)
          }
          let port = try vsctl("get", "Interface", "vm1", "ofport")
          try #require(Int(port) ?? 0 > 0)
          try #require(said.contains(port), "\(said)")
          try #require(try vsctl("list-ports", "br0") == "vm1")
        }
      }
    }

    /// The code block after the comment that names it.
    private static func script(_ name: String) throws -> String {
      let text = readFile("\(Location.package)/README.md")
      let after = text.split(separator: "<!-- session: \(name) -->\n```python\n")
      try #require(after.count == 2)
      return try #require(after[1].split(separator: "\n```\n").first.map(String.init))
    }
  }
}
