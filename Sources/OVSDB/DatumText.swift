import JSONRPC

// Values straight into text: the log and the monitors write many rows, and a tree of them first would cost more than
// the text. The same form as `Datum.json`.
extension Atom {
  func write(to output: inout [UInt8]) {
    switch self {
    case .integer(let value): JSON.write(value, to: &output)
    case .real(let value):
      if let whole = Int64(exactly: value) {
        JSON.write(whole, to: &output)
      } else {
        JSON.write(value, to: &output)
      }
    case .boolean(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
    case .string(let value): JSON.write(value, to: &output)
    case .uuid(let value):
      output.append(contentsOf: #"["uuid",""#.utf8)
      value.write(to: &output)
      output.append(contentsOf: #""]"#.utf8)
    }
  }
}

extension UUID {
  func write(to output: inout [UInt8]) {
    for index in 0..<32 {
      if index == 8 || index == 12 || index == 16 || index == 20 { output.append(UInt8(ascii: "-")) }
      let half = index < 16 ? high : low
      let digit = UInt8(truncatingIfNeeded: half >> UInt64(60 - 4 * (index & 15))) & 15
      output.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }
  }
}

extension Datum {
  func write(_ type: ColumnType, to output: inout [UInt8]) {
    if type.isMap {
      output.append(contentsOf: #"["map",["#.utf8)
      for index in keys.indices {
        output.append(contentsOf: (index == 0 ? "[" : ",[").utf8)
        keys[index].write(to: &output)
        output.append(UInt8(ascii: ","))
        values[index].write(to: &output)
        output.append(UInt8(ascii: "]"))
      }
      output.append(contentsOf: "]]".utf8)
    } else if keys.count == 1 {
      keys[0].write(to: &output)
    } else {
      output.append(contentsOf: #"["set",["#.utf8)
      for index in keys.indices {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        keys[index].write(to: &output)
      }
      output.append(contentsOf: "]]".utf8)
    }
  }
}

/// Writes a JSON object member by member.
struct ObjectWriter {
  private var isFirst = true

  mutating func key(_ name: String, to output: inout [UInt8]) {
    output.append(isFirst ? UInt8(ascii: "{") : UInt8(ascii: ","))
    isFirst = false
    JSON.write(name, to: &output)
    output.append(UInt8(ascii: ":"))
  }

  mutating func key(_ uuid: UUID, to output: inout [UInt8]) {
    output.append(contentsOf: (isFirst ? "{\"" : ",\"").utf8)
    isFirst = false
    uuid.write(to: &output)
    output.append(contentsOf: "\":".utf8)
  }

  var isEmpty: Bool { isFirst }

  func close(_ output: inout [UInt8]) { output.append(contentsOf: (isFirst ? "{}" : "}").utf8) }
}
