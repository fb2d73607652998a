import Glibc
import Testing

/// Waits for a condition that other processes bring about; throws, naming it, when it does not come true in time.
///
/// - Parameter what: completes the sentence "it never happened that …".
func eventually(_ what: String, within seconds: Double = 20, _ condition: () throws -> Bool) throws {
  let deadline = now() + seconds
  while true {
    if try condition() { return }
    guard now() < deadline else { throw HarnessError("it never happened that \(what) (\(seconds) s)") }
    usleep(20_000)
  }
}
