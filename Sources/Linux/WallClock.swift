import CLinux
import Glibc

/// The time of day, UTC.
public enum WallClock {
  /// Whole seconds since 1970.
  public static func seconds() -> Int { now().tv_sec }

  static func now() -> timespec {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return now
  }

  /// "2026-01-31T12:00:00Z", or with milliseconds "2026-01-31T12:00:00.123Z".
  public static func text(_ seconds: Int, milliseconds: Int? = nil) -> String {
    var seconds = seconds
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func pad(_ value: some BinaryInteger, _ width: Int) -> String {
      let digits = String(value)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let date = "\(parts.tm_year + 1900)-\(pad(parts.tm_mon + 1, 2))-\(pad(parts.tm_mday, 2))"
    let time = "\(pad(parts.tm_hour, 2)):\(pad(parts.tm_min, 2)):\(pad(parts.tm_sec, 2))"
    return "\(date)T\(time)" + (milliseconds.map { "." + pad($0, 3) } ?? "") + "Z"
  }
}
