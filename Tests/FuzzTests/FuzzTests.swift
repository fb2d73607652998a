import FuzzTargets
import Glibc
import Testing

/// One at a time, because a target may keep a guest from one input to the next.
@Suite(.serialized) struct Fuzz {
  /// Every input that once broke something.
  @Test(arguments: FuzzTarget.all.map(\.name))
  func `Inputs that broke it once`(target: String) throws {
    let fuzz = try #require(FuzzTarget.named(target))
    for input in inputs("FuzzRegression", target) { try fuzz.run(input) }
  }

  /// A fuzzer of a second or so; tools/fuzz/run has the long one. The same inputs every time.
  @Test(arguments: FuzzTarget.all.map(\.name))
  func `Seeds, and what a little chance makes of them`(target: String) throws {
    let fuzz = try #require(FuzzTarget.named(target))
    var chance = Chance(state: 0x9E37_79B9_7F4A_7C15)
    let seeds = fuzz.seeds() + inputs("FuzzCorpus", target) + [[]]
    for seed in seeds { try fuzz.run(seed) }
    for _ in 0..<300 { try fuzz.run(chance.mutate(seeds[chance.next(seeds.count)])) }
  }

  @Test func `Every folder of inputs belongs to a target`() {
    for folder in ["FuzzRegression", "FuzzCorpus"] {
      for name in entries("\(tests)/\(folder)") {
        #expect(FuzzTarget.named(name) != nil, "Tests/\(folder)/\(name)")
      }
    }
  }
}

/// xorshift64*: repeatable.
private struct Chance {
  var state: UInt64

  mutating func next(_ bound: Int) -> Int {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return Int((state &* 0x2545_F491_4F6C_DD1D) >> 33) % max(1, bound)
  }

  mutating func mutate(_ seed: [UInt8]) -> [UInt8] {
    var bytes = seed
    for _ in 0...next(8) {
      let position = next(bytes.count)
      switch next(5) {
      case 0 where !bytes.isEmpty: bytes[position] = UInt8(next(256))
      case 1 where !bytes.isEmpty: bytes[position] ^= 1 << UInt8(next(8))
      case 2 where !bytes.isEmpty: bytes.removeSubrange(position..<min(bytes.count, position + 1 + next(16)))
      case 3 where !bytes.isEmpty:
        bytes.insert(
          contentsOf: bytes[position..<min(bytes.count, position + 1 + next(16))], at: next(bytes.count))
      default: bytes.insert(UInt8(next(2)) &* 255, at: position)
      }
    }
    return bytes
  }
}

/// Tests/ of this package.
private let tests: String = {
  let parts = #filePath.split(separator: "/").dropLast(2)
  return "/" + parts.joined(separator: "/")
}()

/// The committed inputs of one target in a folder of Tests/.
private func inputs(_ folder: String, _ target: String) -> [[UInt8]] {
  let directory = "\(tests)/\(folder)/\(target)"
  return entries(directory).sorted().map { name in
    let descriptor = open("\(directory)/\(name)", O_RDONLY | O_CLOEXEC)
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while case let count = read(descriptor, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
    return bytes
  }
}

private func entries(_ directory: String) -> [String] {
  guard let stream = opendir(directory) else { return [] }
  defer { closedir(stream) }
  var names: [String] = []
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    if !name.hasPrefix(".") { names.append(name) }
  }
  return names
}
