import Foundation
import WeirCore
import WeirPlan
import WeirReport

/// How many records are due when: fixed before the first is sent, so nothing that the system under load does changes it.
package struct LoadPlan: Sendable {
  /// A stretch of time over which the rate goes from one to another.
  struct Part: Sendable, Equatable {
    var seconds: Double
    /// Records a second.
    var from: Double
    var to: Double

    var records: Double { seconds * (from + to) / 2 }

    /// Records due after a number of its seconds.
    func records(after time: Double) -> Double { time * from + (to - from) * time * time / (2 * max(seconds, 1e-9)) }

    /// When that number is due.
    func time(of count: Double) -> Double {
      let slope = (to - from) / max(seconds, 1e-9)
      if abs(slope) < 1e-9 { return from > 0 ? count / from : 0 }
      return (max(0, from * from + 2 * slope * count).squareRoot() - from) / slope
    }
  }

  private(set) var parts: [Part]
  private let starts: [(time: Double, records: Double)]
  let total: Int64
  let seconds: Double

  static let rateMax = 1e8
  static let secondsMax = 24 * 3600.0

  init(_ parts: [Part]) throws(WeirError) {
    self.parts = parts
    var starts: [(Double, Double)] = []
    var (time, records) = (0.0, 0.0)
    for part in parts {
      guard part.seconds > 0, part.from >= 0, part.to >= 0, part.from <= LoadPlan.rateMax, part.to <= LoadPlan.rateMax else {
        throw WeirError(.config, "a rate is a number of records per second up to 100,000,000, and a time is above 0")
      }
      starts.append((time, records))
      time += part.seconds
      records += part.records
    }
    guard time <= LoadPlan.secondsMax else {
      throw WeirError(.config, "a load runs for at most a day: this one for \(Int64(min(time / 3600, 1e15))) hours")
    }
    guard records >= 1 else { throw WeirError(.config, "no record is due within the load's \(Human.seconds(time))") }
    self.starts = starts
    total = Int64(records)
    seconds = time
  }

  /// The last part that begins by then; parts are in order.
  private func part(_ isBegun: ((time: Double, records: Double)) -> Bool) -> Int {
    var (low, high) = (0, starts.count)
    while low < high {
      let middle = (low + high) / 2
      if isBegun(starts[middle]) { low = middle + 1 } else { high = middle }
    }
    return max(0, low - 1)
  }

  /// Records due within `nanoseconds` of the start.
  func due(after nanoseconds: Int64) -> Int64 {
    let time = Double(nanoseconds) / 1e9
    guard time < seconds else { return total }
    guard time > 0 else { return 0 }
    let number = part { $0.time <= time }
    return min(total, Int64(starts[number].records + parts[number].records(after: time - starts[number].time)))
  }

  /// Nanoseconds from the start to when record `number` (from 1) is due.
  func time(of number: Int64) -> Int64 {
    let count = Double(number)
    let part = part { $0.records < count }
    return Int64((starts[part].time + parts[part].time(of: count - starts[part].records)) * 1e9)
  }

  /// How many of `count` records from `number` (from 1) on are due evenly: within one part, and if its rate changes only one.
  func even(from number: Int64, count: Int) -> Int {
    let part = part { $0.records < Double(number) }
    guard parts[part].from == parts[part].to else { return 1 }
    return max(1, min(count, Int(starts[part].records + parts[part].records) - Int(number) + 1))
  }

  /// Records a second at a moment.
  func rate(at seconds: Double) -> Double {
    guard seconds >= 0, seconds <= self.seconds else { return 0 }
    let number = part { $0.time <= seconds }
    let part = parts[number]
    return part.from + (part.to - part.from) * (seconds - starts[number].time) / max(part.seconds, 1e-9)
  }
}

extension LoadPlan {
  /// `ramp:FROM..TO/s,TIME`, `burst:BASE..PEAK/s,EVERY,LONG,TIME`, `step:RATE,RATE,…/s,TIME` (each).
  package init(_ text: String) throws(WeirError) {
    func wrong() -> WeirError {
      WeirError(
        .config, "--plan \(text) is not a load plan",
        advice:
          "ramp:1000..100000/s,60s (from, to, how long), burst:10000..200000/s,10s,1s,60s (base, peak, every, for, how long), step:10000,50000,100000/s,10s (rates, each for)."
      )
    }
    let halves = text.split(separator: ":", maxSplits: 1).map(String.init)
    guard halves.count == 2, let slash = halves[1].range(of: "/s,") else { throw wrong() }
    let times = halves[1][slash.upperBound...].split(separator: ",").map { QuantityText.microseconds(String($0)).map { Double($0) / 1e6 } }
    let rates = String(halves[1][..<slash.lowerBound])
    let list = (halves[0] == "step" ? rates.split(separator: ",").map(String.init) : rates.components(separatedBy: "..")).map { Double($0) }
    guard !times.contains(where: { $0 == nil }), !list.contains(where: { $0 == nil }) else { throw wrong() }
    let (t, r) = (times.compactMap { $0 }, list.compactMap { $0 })
    switch (halves[0], r.count, t.count) {
    case ("ramp", 2, 1): try self.init([Part(seconds: t[0], from: r[0], to: r[1])])
    case ("step", 1..., 1): try self.init(r.map { Part(seconds: t[0], from: $0, to: $0) })
    case ("burst", 2, 3):
      guard t[0] > t[1], t[1] > 0, t[2] / t[0] <= 100_000 else { throw wrong() }
      var parts: [Part] = []
      var left = t[2]
      while left > 1e-6 {
        let calm = min(left, t[0] - t[1])
        parts.append(Part(seconds: calm, from: r[0], to: r[0]))
        left -= calm
        guard left > 1e-6 else { break }
        let peak = min(left, t[1])
        parts.append(Part(seconds: peak, from: r[1], to: r[1]))
        left -= peak
      }
      try self.init(parts)
    default: throw wrong()
    }
  }

  /// A steady rate.
  package init(rate: Double, seconds: Double) throws(WeirError) { try self.init([Part(seconds: seconds, from: rate, to: rate)]) }
}
