import Testing

@testable import Datapath

// Decisions a poll thread takes about time, on a clock of the test's own: one cycle a microsecond.
@Suite struct PaceTrialTests {
  /// Runs `milliseconds` of turns a microsecond apart, each moving what `rate` says for waiting or not. Returns how many
  /// of the turns waited.
  private func run(
    _ trial: inout PaceTrial, from start: UInt64, milliseconds: Int, _ rate: (_ waits: Bool) -> Int
  ) -> Int {
    var waited = 0
    for microsecond in 0..<UInt64(milliseconds) * 1000 {
      if trial.waits { waited += 1 }
      trial.count(rate(trial.waits), at: start + microsecond)
    }
    return waited
  }

  @Test func waitsWhereItMovesMore() {
    var trial = PaceTrial(cyclesPerMicrosecond: 1)
    _ = run(&trial, from: 1, milliseconds: 200) { $0 ? 12 : 8 }
    let waited = run(&trial, from: 200_001, milliseconds: 640) { $0 ? 12 : 8 }
    #expect(waited > 560_000)
  }

  @Test func doesNotWaitWhereNothingIsGained() {
    var trial = PaceTrial(cyclesPerMicrosecond: 1)
    let waited = run(&trial, from: 1, milliseconds: 640) { _ in 5 }
    #expect(waited > 0 && waited < 40_000)
  }

  @Test func doesNotTryAtLowRates() {
    var trial = PaceTrial(cyclesPerMicrosecond: 1)
    var turn = 0
    let waited = run(&trial, from: 1, milliseconds: 640) { _ in
      turn += 1
      return turn % 1000 == 0 ? 100 : 0
    }
    #expect(waited == 0)
  }

  @Test func forgetsATrialThatWasInterrupted() {
    var trial = PaceTrial(cyclesPerMicrosecond: 1)
    // Every fourth spell the thread loses its processor for a millisecond: no decision is ever reached.
    var now: UInt64 = 1
    for step in 1...200_000 {
      now += step % 2000 == 0 ? 1000 : 1
      trial.count(trial.waits ? 40 : 8, at: now)
    }
    #expect(trial.waits == false || trial.isUndecided)
  }
}

@Suite struct PatienceTests {
  @Test func looksLongerWhileFramesComeSoonAfterItSlept() {
    var patience = Patience()
    #expect(patience.isOver(100, configured: 100))
    #expect(!patience.isOver(99, configured: 100))
    patience.woke(after: 1000, configured: 100)
    #expect(!patience.isOver(1000, configured: 100))
    #expect(patience.isOver(1250, configured: 100))
  }

  @Test func goesBackWhenFramesAreRare() {
    var patience = Patience()
    patience.woke(after: 1000, configured: 100)
    patience.woke(after: 5000, configured: 100)
    #expect(patience.isOver(100, configured: 100))
  }

  @Test func neverLooksLongerThanItsStretch() {
    var patience = Patience()
    patience.woke(after: 1999, configured: 100)
    #expect(patience.isOver(2000, configured: 100))
  }

  @Test func sleepsAtOnceWhereThatIsConfigured() {
    var patience = Patience()
    patience.woke(after: 3, configured: 0)
    #expect(patience.isOver(0, configured: 0))
  }
}
