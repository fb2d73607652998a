// Differences applied in place: a log in which ports were added to a bridge one by one would otherwise cost, for each,
// a copy of all the bridge has.
extension Datum {
  /// The same as `self = applying(difference)`; a small difference costs little even where much is kept.
  mutating func apply(_ difference: Datum) {
    guard difference.count * 16 < count else {
      self = applying(difference)
      return
    }
    // Taken out of `self`, so that nobody else has them and they are changed where they are.
    var (keys, values) = (self.keys, self.values)
    self = .empty
    for (index, key) in difference.keys.enumerated() {
      let value = index < difference.values.count ? difference.values[index] : nil
      let place = Self.place(of: key, keys)
      if place == keys.count || keys[place] != key {
        keys.insert(key, at: place)
        if let value { values.insert(value, at: place) }
      } else if let value, values[place] != value {
        values[place] = value
      } else {
        keys.remove(at: place)
        if value != nil { values.remove(at: place) }
      }
    }
    self = Datum(sortedKeys: keys, values: values)
  }

  /// The first place in ascending `keys` whose key is not below `key`.
  private static func place(of key: Atom, _ keys: [Atom]) -> Int {
    var range = 0..<keys.count
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      range = keys[middle] < key ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return range.lowerBound
  }
}
