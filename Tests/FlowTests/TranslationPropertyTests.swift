import Flow
import Seeded
import Testing

/// Random pipelines and frames against simple truths.
@Suite struct TranslationPropertyTests {
  @Test(arguments: 0..<UInt64(4))
  func `Frames that agree in the mask have the same program`(seed: UInt64) {
    var generator = TranslationGenerator(seed: seed)
    var flipped = 0
    for _ in 0..<60 {
      let tables = generator.tables()
      let translator = Translator(lookup: tables)
      for _ in 0..<10 {
        let frame = generator.frame()
        let outcome = Outcome(translator.translate(frame))
        for round in 0..<6 {
          let other = round < 3 ? generator.frame() : generator.noise()
          let free = ~outcome.mask & Self.flippable
          let similar = (frame & ~free) | (other & free)
          flipped += similar == frame ? 0 : 1
          #expect(Outcome(translator.translate(similar)) == outcome)
        }
      }
    }
    #expect(flipped > 3000)
  }

  @Test(arguments: 0..<UInt64(4))
  func `A program does to a frame what its actions do one by one`(seed: UInt64) {
    var generator = TranslationGenerator(seed: 100 + seed)
    var (sends, errors) = (0, 0)
    for _ in 0..<150 {
      let tables = generator.tables()
      let translator = Translator(lookup: tables)
      for _ in 0..<10 {
        let frame = generator.frame()
        let translation = translator.translate(frame)
        guard let expected = TranslationReference.run(tables, frame) else {
          errors += 1
          #expect(translation.drop == .pipelineError)
          continue
        }
        #expect(translation.drop != .pipelineError)
        sends += expected.count
        #expect(Self.execute(translation, on: frame) == expected)
      }
    }
    #expect(sends > 1000)
    #expect(errors > 10)
  }

  @Test func `A trace changes nothing`() {
    var generator = TranslationGenerator(seed: 7)
    for _ in 0..<100 {
      let translator = Translator(lookup: generator.tables())
      let frame = generator.frame()
      #expect(Outcome(translator.trace(frame).0) == Outcome(translator.translate(frame)))
    }
  }

  @Test func `Equal forms share a rewrite, and the first is the frame as received`() {
    var generator = TranslationGenerator(seed: 8)
    for _ in 0..<300 {
      let translation = Translator(lookup: generator.tables()).translate(generator.frame())
      #expect(Set(translation.rewrites).count == translation.rewrites.count)
      #expect(translation.rewrites[0].isNothing)
    }
  }

  /// The frame's words, without the bridge's bits.
  static let flippable: FlowWords = {
    var words = FlowWords.wholePacket
    words[0] &= 0xFFFF_FFFF
    return words
  }()

  /// What a program sends.
  static func execute(_ translation: Translation, on frame: FlowWords) -> [TranslationReference.Send] {
    translation.operations.map { operation in
      var sent = operation.rewrite.map { translation.rewrites[$0].applied(to: frame) } ?? frame
      sent[.inPort] = 0
      var plain = PlainOperation(operation)
      if case .controller(var output) = plain, output.reason != .invalidTTL {
        output.reason = .action
        plain = .controller(output)
      }
      return TranslationReference.Send(operation: plain, frame: sent)
    }
  }
}

extension TranslationGenerator {
  /// Bits of no sense.
  mutating func noise() -> FlowWords {
    var words = FlowWords()
    for word in 0..<FlowWords.packetCount { words[word] = random.next() }
    return words
  }
}
