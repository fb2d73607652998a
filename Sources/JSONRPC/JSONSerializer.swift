extension JSON {
  /// The value as compact JSON text, keys sorted: equal values give equal text.
  public var text: String { String(decoding: bytes, as: UTF8.self) }

  /// `text` in UTF-8.
  public var bytes: [UInt8] {
    var output: [UInt8] = []
    write(to: &output)
    return output
  }

  /// Appends the value's text.
  public func write(to output: inout [UInt8]) {
    switch self {
    case .null: output.append(contentsOf: "null".utf8)
    case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
    case .integer(let value): Self.write(value, to: &output)
    case .real(let value): Self.write(value, to: &output)
    case .string(let value): Self.write(value, to: &output)
    case .array(let elements):
      output.append(UInt8(ascii: "["))
      var isFirst = true
      for element in elements {
        if !isFirst { output.append(UInt8(ascii: ",")) }
        isFirst = false
        element.write(to: &output)
      }
      output.append(UInt8(ascii: "]"))
    case .object(let members):
      output.append(UInt8(ascii: "{"))
      var isFirst = true
      for (key, value) in members.sorted(by: { $0.key < $1.key }) {
        if !isFirst { output.append(UInt8(ascii: ",")) }
        isFirst = false
        Self.write(key, to: &output)
        output.append(UInt8(ascii: ":"))
        value.write(to: &output)
      }
      output.append(UInt8(ascii: "}"))
    }
  }

  public static func write(_ value: Int64, to output: inout [UInt8]) {
    if (0..<10).contains(value) {
      output.append(UInt8(ascii: "0") + UInt8(value))
    } else {
      output.append(contentsOf: String(value).utf8)
    }
  }

  /// The shortest text that reads back as `value`; `null` for what JSON has no number for.
  public static func write(_ value: Double, to output: inout [UInt8]) {
    output.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
  }

  public static func write(_ value: String, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "\""))
    writePart(of: value, to: &output)
    output.append(UInt8(ascii: "\""))
  }

  /// Appends what stands between the quotation marks of a string: one that is written piece by piece.
  public static func writePart(of value: String, to output: inout [UInt8]) {
    for byte in value.utf8 {
      if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
        output.append(byte)
      } else {
        escape(byte, to: &output)
      }
    }
  }

  private static func escape(_ byte: UInt8, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "\\"))
    switch byte {
    case 0x08: output.append(UInt8(ascii: "b"))
    case 0x09: output.append(UInt8(ascii: "t"))
    case 0x0A: output.append(UInt8(ascii: "n"))
    case 0x0C: output.append(UInt8(ascii: "f"))
    case 0x0D: output.append(UInt8(ascii: "r"))
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(byte)
    default:
      let digits = Array("0123456789abcdef".utf8)
      output.append(contentsOf: "u00".utf8)
      output.append(digits[Int(byte >> 4)])
      output.append(digits[Int(byte & 15)])
    }
  }
}
