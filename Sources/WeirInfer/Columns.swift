import WeirCore
import WeirOperators

/// The values of some fields in all records of the sample, one after another, to compare records with each other.
struct SampleColumn {
  let field: Int
  /// Of each record: a hash of the value, 0 for null. Equal values have equal hashes within a process.
  var hashes: [Int] = []
  /// Of each record: the time in microseconds; `Int64.min` for none. Only of fields that are times.
  var times: [Int64] = []

  init(field: Int) { self.field = field }

  mutating func take(_ value: JSONValue?, _ form: TypeGuess.TimeForm?) {
    var hasher = Hasher()
    switch value {
    case nil, .null: return add(0, nil)
    case .string(let text): hasher.combine(text)
    case .some(let other): hasher.combine(other.bytes)
    }
    let hash = hasher.finalize()
    add(hash == 0 ? 1 : hash, form.flatMap { SampleColumn.time(value, $0) })
  }

  private mutating func add(_ hash: Int, _ time: Int64?) {
    hashes.append(hash)
    times.append(time ?? .min)
  }

  static func time(_ value: JSONValue?, _ form: TypeGuess.TimeForm) -> Int64? {
    let text: String
    switch value {
    case .string(let string): text = string
    case .int(let number): text = String(number)
    case .number(let number): text = number
    default: return nil
    }
    switch form {
    case .text: return TimestampText.parse(text).microseconds
    case .local: return TextStats.local(text)
    case .epoch(let perUnit):
      guard let number = Double(text), abs(number * perUnit) < 2.5e17 else { return nil }
      return Int64((number * perUnit).rounded(.down))
    }
  }

  var distinct: Int { Set(hashes.filter { $0 != 0 }).count }
  var given: Int { hashes.count { $0 != 0 } }
}

/// How late records are, by one field of theirs, in the order of the capture.
struct TimeMeasure {
  let times: [Int64]
  /// Of each record with a sound clock: how much earlier it is than the newest one before it. Sorted.
  let delays: [Int64]
  /// Of each record: the newest time so far.
  let newest: [Int64]
  let first: Int64
  let last: Int64
  let missing: Int
  /// Times that are further from all others than these are from each other, and more than a day.
  let wrongClocks: Int

  private static let day: Int64 = 86_400_000_000

  /// - Returns: nil: no record has a time.
  init?(_ times: [Int64]) {
    let sorted = times.filter { $0 != .min }.sorted()
    guard !sorted.isEmpty else { return nil }
    let low = sorted[sorted.count / 50]
    let high = sorted[sorted.count - 1 - sorted.count / 50]
    let margin = max(TimeMeasure.day, high - low)
    let sound = (low - margin)...(high + margin)
    var (delays, newest, running, wrong) = ([Int64](), [Int64](), Int64.min, 0)
    for time in times {
      if time != .min {
        if sound.contains(time) {
          running = max(running, time)
          delays.append(running - time)
        } else {
          wrong += 1
        }
      }
      newest.append(running)
    }
    self.times = times
    self.delays = delays.sorted()
    self.newest = newest
    first = sorted.first { sound.contains($0) } ?? low
    last = sorted.last { sound.contains($0) } ?? high
    missing = times.count - sorted.count
    wrongClocks = wrong
  }

  /// The delay that this share of the records does not exceed.
  func delay(_ share: Double) -> Int64 {
    guard !delays.isEmpty else { return 0 }
    return delays[min(delays.count - 1, max(0, Int((share * Double(delays.count)).rounded(.up)) - 1))]
  }
}

/// Durations as people write them.
enum RoundDuration {
  private static let steps: [(text: String, microseconds: Int64)] = [
    ("0s", 0), ("100ms", 100_000), ("200ms", 200_000), ("500ms", 500_000), ("1s", 1_000_000), ("2s", 2_000_000), ("5s", 5_000_000),
    ("10s", 10_000_000), ("15s", 15_000_000), ("30s", 30_000_000), ("1m", 60_000_000), ("2m", 120_000_000), ("5m", 300_000_000),
    ("10m", 600_000_000), ("15m", 900_000_000), ("30m", 1_800_000_000), ("1h", 3_600_000_000), ("2h", 7_200_000_000),
    ("3h", 10_800_000_000), ("6h", 21_600_000_000), ("12h", 43_200_000_000), ("1d", 86_400_000_000), ("2d", 172_800_000_000),
    ("3d", 259_200_000_000), ("7d", 604_800_000_000), ("14d", 1_209_600_000_000), ("30d", 2_592_000_000_000),
  ]

  /// The shortest round one that is not below.
  static func above(_ microseconds: Int64) -> (text: String, microseconds: Int64) {
    if let step = steps.first(where: { $0.microseconds >= microseconds }) { return step }
    let days = (microseconds / 86_400_000_000) + 1
    return ("\(days)d", days * 86_400_000_000)
  }

  /// As measured, to three digits: `1.25s`.
  static func shown(_ microseconds: Int64) -> String {
    let units: [(String, Double)] = [("d", 86_400e6), ("h", 3600e6), ("m", 60e6), ("s", 1e6), ("ms", 1e3)]
    let value = Double(microseconds)
    guard let (unit, size) = units.first(where: { value >= $0.1 }) else { return microseconds == 0 ? "0s" : "\(microseconds)us" }
    let hundredths = Int64((value / size * 100).rounded())
    let part = hundredths % 100
    return "\(hundredths / 100)\(part == 0 ? "" : part < 10 ? ".0\(part)" : part % 10 == 0 ? ".\(part / 10)" : ".\(part)")\(unit)"
  }
}
