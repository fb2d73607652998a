import Seeded
import Testing

@testable import SwitchctlCommands

struct NearestNameTests {
  @Test(arguments: [
    ("", "", 0), ("abc", "", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "abd", 1), ("abc", "abcd", 1),
    ("kitten", "sitting", 3), ("ca", "abc", 3),
  ]) func distance(_ a: String, _ b: String, _ distance: Int) {
    #expect(NearestName.distance(Array(a.utf8), Array(b.utf8)) == distance)
    #expect(NearestName.distance(Array(b.utf8), Array(a.utf8)) == distance)
  }

  /// The distance by its definition, without a table.
  func reference(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Int {
    guard let x = a.last, let y = b.last else { return max(a.count, b.count) }
    var best = min(
      reference(a.dropLast(), b) + 1, reference(a, b.dropLast()) + 1,
      reference(a.dropLast(), b.dropLast()) + (x == y ? 0 : 1))
    if a.count > 1, b.count > 1, a[a.endIndex - 2] == y, b[b.endIndex - 2] == x {
      best = min(best, reference(a.dropLast(2), b.dropLast(2)) + 1)
    }
    return best
  }

  @Test func distanceEqualsItsDefinition() {
    var generator = SeededRandom(seed: 1)
    for _ in 0..<300 {
      func word() -> [UInt8] {
        (0..<Int.random(in: 0...5, using: &generator)).map { _ in UInt8.random(in: 97...99, using: &generator)
        }
      }
      let (a, b) = (word(), word())
      #expect(NearestName.distance(a, b) == reference(a[...], b[...]), "\(a) \(b)")
    }
  }

  @Test(arguments: [
    ("ad-br", "add-br"), ("add-prot", "add-port"), ("lst-br", "list-br"), ("ADD_BR", "add-br"),
    ("shwo", "show"),
    ("fdb-flsh", "fdb-flush"),
  ]) func suggestsACommand(_ typed: String, _ meant: String) {
    #expect(NearestName.suggestion(for: typed, among: Command.all.map(\.name)) == meant)
  }

  @Test func suggestsNothingForSomethingElse() {
    #expect(NearestName.suggestion(for: "frobnicate", among: Command.all.map(\.name)) == nil)
  }

  @Test func partialNames() {
    let names = ["fail_mode", "flood_vlans", "flow_tables", "name", "NAME_2"]
    #expect(NearestName.match("name", among: names) == .one("name"))
    #expect(NearestName.match("Name", among: names) == .one("name"))
    #expect(NearestName.match("FAIL-MODE", among: names) == .one("fail_mode"))
    #expect(NearestName.match("fa", among: names) == .one("fail_mode"))
    #expect(NearestName.match("fl", among: names) == .several(["flood_vlans", "flow_tables"]))
    #expect(NearestName.match("x", among: names) == .none)
    #expect(NearestName.match("", among: names) == .none)
  }
}
