import Glibc

/// One line of the table: a part of the engine, or a limit of the machine.
struct Line {
  var part: String
  var what: String
  /// Units a second, the median of the runs.
  var rate: Double
  var unit: String
  /// Where it is a part: the line that it is held against.
  var limit: String?
  /// The limit's rate in this line's units.
  var limitRate: Double?
  /// The slowest and the fastest run.
  var range: (low: Double, high: Double)

  var share: Double? { limitRate.map { $0 > 0 ? rate / $0 : 0 } }
}

/// Collects lines; runs each body `runs` times after one run that warms up.
final class Bench {
  let runs: Int
  private(set) var lines: [Line] = []

  init(runs: Int) { self.runs = max(1, runs) }

  static func now() -> Double {
    var t = timespec()
    clock_gettime(CLOCK_MONOTONIC, &t)
    return Double(t.tv_sec) + Double(t.tv_nsec) / 1e9
  }

  /// Measures `amount` units of work. `prepare` is not in the time; its value is handed to `body`.
  @discardableResult
  func measure<T>(
    _ part: String, _ what: String, _ amount: Int, _ unit: String, limit: Line? = nil, prepare: () throws -> T,
    _ body: (T) throws -> Void
  ) rethrows -> Line {
    var rates: [Double] = []
    for run in 0...runs {
      let prepared = try prepare()
      let start = Bench.now()
      try body(prepared)
      let seconds = Bench.now() - start
      if run > 0 { rates.append(Double(amount) / max(seconds, 1e-9)) }
    }
    return add(part, what, rates, unit, limit: limit)
  }

  @discardableResult
  func measure(
    _ part: String, _ what: String, _ amount: Int, _ unit: String, limit: Line? = nil, _ body: () throws -> Void
  ) rethrows -> Line {
    try measure(part, what, amount, unit, limit: limit, prepare: {}, { try body() })
  }

  /// The same for a body that waits.
  @discardableResult
  func measureAsync(
    _ part: String, _ what: String, _ amount: Int, _ unit: String, limit: Line? = nil, _ body: () async throws -> Double
  ) async rethrows -> Line {
    var rates: [Double] = []
    for run in 0...runs {
      let seconds = try await body()
      if run > 0 { rates.append(Double(amount) / max(seconds, 1e-9)) }
    }
    return add(part, what, rates, unit, limit: limit)
  }

  @discardableResult
  func add(_ part: String, _ what: String, _ rates: [Double], _ unit: String, limit: Line? = nil) -> Line {
    let sorted = rates.sorted()
    let line = Line(
      part: part, what: what, rate: sorted[sorted.count / 2], unit: unit, limit: limit?.what,
      limitRate: limit.flatMap { $0.unit == unit ? $0.rate : nil }, range: (sorted[0], sorted[sorted.count - 1]))
    lines.append(line)
    say("\(part): \(what)")
    return line
  }
}

/// Keeps the optimiser from dropping what is computed.
@inline(never) @_optimize(none) func keep(_ value: Int) { sink = value }
nonisolated(unsafe) private var sink = 0

func say(_ text: String) {
  let line = Array((text + "\n").utf8)
  _ = write(2, line, line.count)
}

func stop(_ text: String, _ advice: String) -> Never {
  say("weir-microbench: \(text)\n  \(advice)")
  exit(1)
}

/// Resident bytes of this process now, and their peak since ``resetPeak()``.
enum Memory {
  static func resident() -> Int { field("VmRSS:") }
  static func peak() -> Int { field("VmHWM:") }

  static func resetPeak() {
    guard let f = fopen("/proc/self/clear_refs", "w") else { return }
    fputs("5", f)
    fclose(f)
  }

  private static func field(_ name: String) -> Int {
    guard let f = fopen("/proc/self/status", "r") else { return 0 }
    defer { fclose(f) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, 256, f) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.hasPrefix(name) { return (text.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? 0) * 1024 }
    }
    return 0
  }
}
