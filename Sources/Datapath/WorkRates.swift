import Linux

/// How a poll thread or a receive queue worked during the last seconds.
public struct WorkRates: Equatable, Sendable {
  /// What the rates are over: less than was asked for while there is less to look back on.
  public let seconds: Double
  public let framesPerSecond: Double
  /// Cycles of the time-stamp counter; nil without frames, as is `framesPerBurst`.
  public let cyclesPerFrame: Double?
  public let framesPerBurst: Double?
  /// Shares of the time, 0 to 1: moving frames, and looking for some in vain (always 0 for a queue).
  public let busy: Double
  public let idle: Double

  /// A thread's remaining share; what it looked at between two samples may make the sum exceed 1 by a turn.
  public var asleep: Double { max(0, 1 - busy - idle) }

  /// - Parameter cyclesPerSecond: of the time-stamp counter.
  init(from old: WorkSample, to new: WorkSample, cyclesPerSecond: UInt64) {
    let elapsed = Double(max(new.time &- old.time, 1))
    let frames = Double(new.frames &- old.frames)
    let bursts = new.bursts &- old.bursts
    let cycles = Double(new.busyCycles &- old.busyCycles)
    seconds = elapsed / Double(cyclesPerSecond)
    framesPerSecond = frames / seconds
    cyclesPerFrame = frames > 0 ? cycles / frames : nil
    framesPerBurst = bursts > 0 ? frames / Double(bursts) : nil
    busy = min(cycles / elapsed, 1)
    idle = min(Double(new.idleCycles &- old.idleCycles) / elapsed, 1)
  }
}

/// The counters that rates are made of, at one moment.
struct WorkSample {
  /// Of the time-stamp counter.
  var time: UInt64
  var frames: UInt64
  var bursts: UInt64
  var busyCycles: UInt64
  var idleCycles: UInt64

  init(_ counters: WorkCounters, at time: UInt64) {
    self.time = time
    frames = counters[.frames]
    bursts = counters[.bursts]
    busyCycles = counters[.busyCycles]
    idleCycles = counters[.idleCycles]
  }
}

/// The samples of the last minute, taken once a second.
struct WorkHistory {
  static let longest = 60

  private let counters: WorkCounters
  private var samples: [WorkSample] = []
  /// Where the next sample goes once the ring is full: the oldest is there.
  private var next = 0

  init(_ counters: WorkCounters, at time: UInt64) {
    self.counters = counters
    samples = [WorkSample(counters, at: time)]
  }

  mutating func sample(at time: UInt64) {
    let sample = WorkSample(counters, at: time)
    if samples.count <= Self.longest {
      samples.append(sample)
    } else {
      samples[next] = sample
      next = (next + 1) % samples.count
    }
  }

  /// Over the last `seconds` samples (1 to `longest`), up to now.
  func rates(seconds: Int, at time: UInt64) -> WorkRates {
    WorkRates(
      from: sample(seconds), to: WorkSample(counters, at: time),
      cyclesPerSecond: TSCClock.shared.cyclesPerSecond)
  }

  /// The sample taken `count` samples ago, or the oldest there is.
  private func sample(_ count: Int) -> WorkSample {
    let back = min(max(count, 1), samples.count)
    return samples[(next + samples.count - back) % samples.count]
  }
}
