import Glibc
import Testing

extension System {
  @Suite struct UnitFiles {
    /// What systemd thinks of how far a service is confined: 0 is nothing left to confine, 10 nothing confined. Lines
    /// that are lost from a unit show here.
    @Test(
      .needs("systemd-analyze"), arguments: [("switchd", 40), ("switchdbd", 20)])
    func `systemd understands the unit, and finds it confined`(program: String, tenths: Int) throws {
      let directory = Scratch.shared.path("units-\(Scratch.shared.number())")
      mkdir(directory, 0o755)
      let text = readFile("\(Location.package)/etc/systemd/\(program).service")
      let file = "\(directory)/\(program).service"
      try writeFile(
        file, text.replacing("@PREFIX@/sbin", with: Location.programs))
      let verified = try run(["systemd-analyze", "verify", "--man=no", file])
      #expect(
        verified.succeeded && verified.standardOutput.isEmpty && !verified.standardError.contains(program),
        "\(verified)")
      let confined = try run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=\(tenths)", file])
      #expect(confined.succeeded, "\(confined)")
    }
  }
}
