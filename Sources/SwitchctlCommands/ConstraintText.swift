import OVSDB

/// Why a value is not allowed in a column, in the words of Open vSwitch's clients, which scripts know.
enum ConstraintText {
  static func check(_ atom: Atom, _ base: BaseType) throws(CommandError) {
    do throws(OVSDBError) { try base.check(atom) } catch {
      throw CommandError("\(error.error): \(sentence(atom, base) ?? error.details)", hint: hint(atom, base))
    }
  }

  private static func sentence(_ atom: Atom, _ base: BaseType) -> String? {
    if let allowed = base.enumeration, !allowed.contains(atom) {
      var set = ColumnType(key: BaseType(base.type))
      set.maximum = nil
      return "\(ValueText.text(atom)) is not one of the allowed values (\(ValueText.text(allowed, set)))"
    }
    switch atom {
    case .integer(let value):
      return range("\(value)", base.minimumInteger.map { "\($0)" }, base.maximumInteger.map { "\($0)" }) {
        base.minimumInteger.map { value < $0 } ?? false
      }
    case .real(let value):
      let limits = [base.minimumReal, base.maximumReal].map { $0.map { ValueText.text(Atom.real($0)) } }
      return range(ValueText.text(atom), limits[0], limits[1]) {
        base.minimumReal.map { value < $0 } ?? false
      }
    case .string(let text):
      let length = text.unicodeScalars.count
      if let minimum = base.minimumLength, length < minimum {
        return "\"\(text)\" length \(length) is less than minimum allowed length \(minimum)"
      }
      return base.maximumLength.map {
        "\"\(text)\" length \(length) is greater than maximum allowed length \($0)"
      }
    case .boolean, .uuid: return nil
    }
  }

  private static func range(
    _ value: String, _ minimum: String?, _ maximum: String?, _ isBelow: () -> Bool
  ) -> String? {
    if let minimum, let maximum {
      return "\(value) is not in the valid range \(minimum) to \(maximum) (inclusive)"
    }
    return isBelow()
      ? minimum.map { "\(value) is less than minimum allowed value \($0)" }
      : maximum.map { "\(value) is greater than maximum allowed value \($0)" }
  }

  private static func hint(_ atom: Atom, _ base: BaseType) -> String {
    guard case .string(let text) = atom, let allowed = base.enumeration else { return "" }
    return NearestName.hint(for: text, among: allowed.strings)
  }
}
