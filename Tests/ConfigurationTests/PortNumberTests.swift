import Testing

@testable import Configuration

@Suite struct PortNumberTests {
  @Test func numbersIncreaseAndAreReusedLate() {
    var numbers = PortNumbers()
    numbers.assign([("br0", .local), ("a", .any(previous: nil)), ("b", .any(previous: nil))])
    #expect(numbers["br0"] == 65534 && numbers["a"] == 1 && numbers["b"] == 2)
    numbers.release("a")
    numbers.assign([("c", .any(previous: nil))])
    #expect(numbers["c"] == 3)
    #expect(numbers["b"] == 2)
  }

  @Test func requestsAreHonouredWhenFree() {
    var numbers = PortNumbers()
    numbers.assign([("a", .any(previous: nil)), ("b", .requested(1)), ("c", .requested(1))])
    #expect(numbers["b"] == 1 && numbers["a"] == 2 && numbers["c"] == 3)
    // A request that cannot be met changes nothing.
    numbers.assign([("a", .requested(3)), ("b", .requested(1)), ("c", .any(previous: 1))])
    #expect(numbers["a"] == 2 && numbers["c"] == 3)
  }

  @Test func twoInterfacesCanSwap() {
    var numbers = PortNumbers()
    numbers.assign([("a", .requested(10)), ("b", .requested(20))])
    numbers.assign([("a", .requested(20)), ("b", .requested(10))])
    #expect(numbers["a"] == 20 && numbers["b"] == 10)
  }

  @Test func numbersOfAnEarlierRunAreKept() {
    var numbers = PortNumbers()
    numbers.assign([("new", .any(previous: nil)), ("old", .any(previous: 5)), ("clash", .any(previous: 5))])
    #expect(numbers["new"] == 1)
    #expect(Set([numbers["old"], numbers["clash"]]) == [5, 6])
  }

  @Test func whenAllAreTakenThereIsNone() {
    var numbers = PortNumbers()
    let names = PortNumbers.range.map { "p\($0)" }
    numbers.assign(names.map { ($0, .any(previous: nil)) })
    #expect(numbers["p65279"] == 65279)
    numbers.assign([("late", .any(previous: nil))])
    #expect(numbers["late"] == nil)
    numbers.release("p100")
    numbers.assign([("late", .any(previous: nil))])
    #expect(numbers["late"] == 100)
  }
}
