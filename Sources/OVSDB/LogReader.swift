/// Takes the records of an OVSDB file one after the other out of its bytes.
struct LogReader {
  enum Step {
    case record(ArraySlice<UInt8>)
    case end
    /// There is no whole record at `position`.
    case damaged(String)
  }

  private let bytes: [UInt8]
  /// The end of the last whole record.
  private(set) var position = 0
  /// How many whole records were read.
  private(set) var count = 0

  private static let magic = Array("OVSDB JSON ".utf8)
  /// "OVSDB JSON ", 19 digits, a space, 40 digits, a newline.
  private static let longestHeader = 72

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Gives every whole record's text to `body`.
  ///
  /// - Returns: what is wrong with the file's end, if anything is, which only loses what was being written when the
  ///   writer died. Any other damage is thrown.
  mutating func readAll(
    _ path: String, _ body: (_ text: ArraySlice<UInt8>, _ number: Int) throws(StorageError) -> Void
  ) throws(StorageError) -> String? {
    var problem: String?
    while problem == nil {
      switch next() {
      case .record(let text): try body(text, count)
      case .end: return nil
      case .damaged(let reason): problem = reason
      }
    }
    let place = "\(path): record \(count + 1) at byte \(position): \(problem ?? "")"
    if count == 0 { throw StorageError("\(place); this is not an OVSDB database file") }
    if hasRecordBeyondDamage() {
      throw StorageError(
        "\(place), with whole records after it; restore the file from a backup, or cut it there with "
          + "`truncate -s \(position) \(path)` to lose what follows")
    }
    return place
  }

  mutating func next() -> Step {
    if position == bytes.count { return .end }
    switch record(at: position) {
    case .success(let range):
      position = range.upperBound
      count += 1
      return .record(bytes[range])
    case .failure(let damage): return .damaged(damage.reason)
    }
  }

  /// Whether a whole record begins somewhere after the damaged one at `position`. A file that looks as if made to keep
  /// this busy is taken to have one.
  private func hasRecordBeyondDamage() -> Bool {
    var work = 4 * bytes.count
    var index = position
    while let newline = bytes[index...].firstIndex(of: UInt8(ascii: "\n")) {
      index = newline + 1
      guard bytes[index...].starts(with: Self.magic) else { continue }
      if case .success = record(at: index) { return true }
      work -= bytes.count - index
      if work < 0 { return true }
    }
    return false
  }

  private struct Damage: Error {
    let reason: String
  }

  /// Where the text of the record that begins at `start` is.
  private func record(at start: Int) -> Result<Range<Int>, Damage> {
    let header = bytes[start..<min(bytes.count, start + Self.longestHeader)]
    guard header.starts(with: Self.magic) else {
      if bytes[start...].starts(with: "OVSDB CLUSTER ".utf8) {
        return .failure(Damage(reason: "it belongs to a clustered database, which is not supported"))
      }
      return .failure(Damage(reason: "it does not begin with \"OVSDB JSON\""))
    }
    guard let newline = header.firstIndex(of: UInt8(ascii: "\n")) else {
      return .failure(Damage(reason: "its header is cut short"))
    }
    let fields = header[(start + Self.magic.count)..<newline].split(
      separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard fields.count == 2, let length = Int(String(decoding: fields[0], as: UTF8.self)), length > 0,
      fields[1].count == 40
    else { return .failure(Damage(reason: "its header is malformed")) }
    guard length <= bytes.count - (newline + 1) else { return .failure(Damage(reason: "it is cut short")) }
    let text = (newline + 1)..<(newline + 1 + length)
    guard SHA1.hexadecimal(bytes[text]).elementsEqual(fields[1]) else {
      return .failure(Damage(reason: "its checksum is wrong"))
    }
    return .success(text)
  }
}
