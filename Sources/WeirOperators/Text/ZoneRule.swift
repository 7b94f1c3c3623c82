import WeirCore

/// POSIX's text of when clocks change each year: `CET-1CEST,M3.5.0,M10.5.0/3`, `EST5`.
struct ZoneRule {
  private struct Change {
    enum Day {
      /// A weekday (0: Sunday) of a week (5: the last) of a month.
      case week(month: Int64, week: Int64, weekday: Int64)
      /// From 1, without 29 February.
      case julian(Int64)
      /// From 0.
      case ofYear(Int64)
    }
    var day: Day
    /// Seconds of local time after midnight.
    var time: Int64

    /// Seconds since 1970 on the clock before the change.
    func local(_ year: Int64) -> Int64 {
      let first = FieldValues.dayNumber(year, 1, 1)
      let number: Int64
      switch day {
      case .ofYear(let day): number = first + day
      case .julian(let day): number = first + day - 1 + (FieldValues.isDate(year, 2, 29) && day > 59 ? 1 : 0)
      case .week(let month, let week, let weekday):
        let start = FieldValues.dayNumber(year, month, 1)
        // 1970-01-01 was a Thursday.
        let isOf = (start % 7 + 7 + 4) % 7
        var day = start + (weekday - isOf + 7) % 7 + (week - 1) * 7
        while !FieldValues.isDate(year, month, day - start + 1) { day -= 7 }
        number = day
      }
      return number * 86_400 + time
    }
  }

  private let standard: Int64
  private let summer: (offset: Int64, from: Change, to: Change)?

  /// nil: it is none.
  init?(_ text: String) {
    var reader = Reader(bytes: Array(text.utf8))
    guard reader.name(), let west = reader.clock() else { return nil }
    standard = -west
    guard !reader.isAtEnd else {
      summer = nil
      return
    }
    guard reader.name() else { return nil }
    let own = reader.next == UInt8(ascii: ",") ? nil : reader.clock()
    guard reader.take(","), let from = reader.change(), reader.take(","), let to = reader.change(), reader.isAtEnd else { return nil }
    summer = (own.map { -$0 } ?? standard + 3600, from, to)
  }

  /// The changes of a year in their order, as seconds since 1970 with the offsets from then on.
  func changes(in year: Int64) -> [(at: Int64, offset: Int64)] {
    guard let summer else { return [(FieldValues.dayNumber(year, 1, 1) * 86_400, standard)] }
    let start = (at: summer.from.local(year) - standard, offset: summer.offset)
    let end = (at: summer.to.local(year) - summer.offset, offset: standard)
    return start.at < end.at ? [start, end] : [end, start]
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var next: UInt8? { at < bytes.count ? bytes[at] : nil }
    var isAtEnd: Bool { at == bytes.count }

    mutating func take(_ letter: Character) -> Bool {
      guard next == letter.asciiValue else { return false }
      at += 1
      return true
    }

    /// `CET`, `<+03>`.
    mutating func name() -> Bool {
      let start = at
      if take("<") {
        while let next, next != UInt8(ascii: ">") { at += 1 }
        return take(">")
      }
      while let c = next, c | 0x20 >= 0x61, c | 0x20 <= 0x7A { at += 1 }
      return at > start
    }

    mutating func number() -> Int64? {
      let start = at
      var value: Int64 = 0
      while at - start < 4, let c = next, c &- 0x30 < 10 { (value, at) = (value * 10 + Int64(c &- 0x30), at + 1) }
      return at > start ? value : nil
    }

    /// `-1`, `5:30`, `+2:00:10`, as seconds.
    mutating func clock() -> Int64? {
      let isNegative = take("-")
      if !isNegative { _ = take("+") }
      guard var seconds = number().map({ $0 * 3600 }) else { return nil }
      if take(":") {
        guard let minutes = number() else { return nil }
        seconds += minutes * 60
        if take(":") {
          guard let more = number() else { return nil }
          seconds += more
        }
      }
      return seconds <= 168 * 3600 ? (isNegative ? -seconds : seconds) : nil
    }

    mutating func change() -> Change? {
      var day: Change.Day?
      if take("M") {
        guard let month = number(), take("."), let week = number(), take("."), let weekday = number(), (1...12).contains(month),
          (1...5).contains(week), (0...6).contains(weekday)
        else { return nil }
        day = .week(month: month, week: week, weekday: weekday)
      } else if take("J") {
        day = number().flatMap { (1...365).contains($0) ? .julian($0) : nil }
      } else {
        day = number().flatMap { (0...365).contains($0) ? .ofYear($0) : nil }
      }
      guard let day else { return nil }
      guard take("/") else { return Change(day: day, time: 7200) }
      return clock().map { Change(day: day, time: $0) }
    }
  }
}
