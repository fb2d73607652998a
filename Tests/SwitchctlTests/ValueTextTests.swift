import Seeded
import OVSDB
import Testing

@testable import SwitchctlCommands

struct ValueTextTests {
  static let types: [ColumnType] = {
    var types: [ColumnType] = []
    for key in AtomType.allCases where key != .uuid {
      var set = ColumnType(key: BaseType(key))
      set.minimum = 0
      set.maximum = nil
      types.append(set)
      set.maximum = 1
      types.append(set)
      var map = ColumnType(key: BaseType(key), value: BaseType(.string))
      map.minimum = 0
      map.maximum = nil
      types.append(map)
    }
    return types
  }()

  static func randomAtom(_ type: AtomType, _ generator: inout some RandomNumberGenerator) -> Atom {
    switch type {
    case .integer: return .integer(Int64.random(in: Int64.min...Int64.max, using: &generator))
    case .real: return .real(Double(Int.random(in: -1000...1000, using: &generator)) / 8)
    case .boolean: return .boolean(Bool.random(using: &generator))
    case .uuid: return .uuid(.random(using: &generator))
    case .string:
      let alphabet = Array("ab 1,=:\"\\[]{}!<>@.-_é\n\t'")
      let length = Int.random(in: 0...6, using: &generator)
      return .string(
        String((0..<length).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] }))
    }
  }

  /// What is printed reads back as the same value.
  @Test func textReadsBack() throws {
    var generator = SeededRandom(seed: 1)
    let symbols = SymbolTable()
    for type in Self.types {
      for _ in 0..<200 {
        let count = Int.random(in: 0...(type.maximum ?? 4), using: &generator)
        let keys = (0..<count).map { _ in Self.randomAtom(type.key.type, &generator) }
        let datum =
          type.isMap
          ? Datum(map: keys.map { ($0, Self.randomAtom(.string, &generator)) }) : Datum(keys)
        let text = ValueText.text(datum, type)
        let back = Result { () throws(CommandError) in try ValueText.datum(text, type, symbols) }
        #expect(try back.get() == datum, "\(text)")
      }
    }
  }

  /// Nothing that is typed traps, and what is refused is refused with a sentence.
  @Test func arbitraryTextIsReadOrRefused() {
    var generator = SeededRandom(seed: 1)
    let alphabet = Array("a1-,=:\"\\[]{}@ é.0x")
    let symbols = SymbolTable()
    for _ in 0..<3000 {
      let text = String(
        (0..<Int.random(in: 0...8, using: &generator)).map { _ in
          alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
        })
      for type in Self.types {
        do throws(CommandError) { _ = try ValueText.datum(text, type, symbols) } catch {
          #expect(!error.message.isEmpty)
        }
      }
    }
  }

  @Test func rangesAreBounded() throws {
    var type = ColumnType(key: BaseType(.integer))
    type.maximum = nil
    let symbols = SymbolTable()
    #expect(try ValueText.datum("1-3,-5--4", type, symbols).integers == [-5, -4, 1, 2, 3])
    #expect(try ValueText.datum("1-4096", type, symbols).count == 4096)
    for text in ["3-1", "0-4096", "-9223372036854775808-9223372036854775807", "1-99999999999999999999"] {
      #expect(throws: CommandError.self) { try ValueText.datum(text, type, symbols) }
    }
  }
}
