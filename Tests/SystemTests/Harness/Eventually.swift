import Glibc
import Testing

/// Waits for a condition that other processes bring about; throws, naming it, when it does not come true in time.
///
/// - Parameters:
///   - what: completes the sentence "it never happened that …".
///   - pause: microseconds between two looks.
func eventually(
  _ what: @autoclosure () throws -> String, within seconds: Double = 20, pause: UInt32 = 20_000,
  _ condition: () throws -> Bool
) throws {
  let deadline = now() + seconds
  while true {
    if try condition() { return }
    guard now() < deadline else { throw HarnessError("it never happened that \(try what()) (\(seconds) s)") }
    usleep(pause)
  }
}
