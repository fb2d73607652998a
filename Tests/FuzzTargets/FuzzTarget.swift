/// One thing that reads what outsiders write. `run` takes any bytes; whatever is wrong with the reader traps.
public struct FuzzTarget: Sendable {
  public let name: String
  /// Inputs a fuzzer starts from.
  public let seeds: @Sendable () -> [[UInt8]]
  public let run: @Sendable ([UInt8]) throws -> Void

  init(
    _ name: String, seeds: @escaping @Sendable () -> [[UInt8]],
    run: @escaping @Sendable ([UInt8]) throws -> Void
  ) {
    self.name = name
    self.seeds = seeds
    self.run = run
  }

  /// Every target. Tests/FuzzRegression has a folder of the same name for inputs that once broke it.
  public static let all = [
    json, databaseSchema, databaseFile, databaseLog, databaseSession, vhostMessage, virtqueue, packedRing,
    netHeader,
    frameHeaders, segmentation, flowText, flowFrame, capture, flowPipeline,
  ]

  public static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// A property that does not hold: said loudly, since the fuzzer only sees the trap.
func require(_ condition: Bool, _ what: String) {
  if !condition { fatalError("fuzz: \(what)") }
}
