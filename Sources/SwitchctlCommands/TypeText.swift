import OVSDB

extension ColumnType {
  /// `set of up to 4096 integers`, `map of (string, uuid) pairs`, `boolean`.
  var inWords: String {
    if isScalar { return key.type.rawValue }
    let count =
      switch (minimum, maximum) {
      case (0, nil): ""
      case (let minimum, nil): "\(minimum) or more "
      case (0, let maximum?): "up to \(maximum) "
      case (let minimum, let maximum?): "\(minimum) to \(maximum) "
      }
    guard let value else { return "set of \(count)\(key.type.rawValue)s" }
    return "map of \(count)(\(key.type.rawValue), \(value.type.rawValue)) pairs"
  }
}
