import WeirCore

/// A time's form, with the directives that `strptime` has: `%Y-%m-%d %H:%M:%S`.
///
/// Numbers take as many digits as they may have, white space in a form is one or more spaces or tabs, and all else is itself.
package struct TimeFormat: Sendable {
  /// Bytes of a form.
  package static let bytesMax = 100

  /// What is wrong with a form.
  package struct Fault: Error, Sendable {
    package var reason: String
    /// UTF-8 byte offset in the text.
    package var offset: Int
  }

  private enum Part: Sendable {
    case byte(UInt8)
    case space
    /// Digits that at most may be, least and largest value.
    case number(Place, digits: Int, Int64, Int64)
    case month, weekday, half, zone, fraction, twoDigitYear, paddedDay
  }

  private enum Place: Sendable { case year, month, day, hour, minute, second, hour12 }

  /// A time as it is written.
  struct Time {
    /// Since 1970 on the clock that it was read from.
    var micros: Int64
    /// Seconds east of Greenwich; nil: it does not say.
    var offset: Int64?
  }

  let text: String
  private let parts: [Part]
  /// Its times say their zone.
  package let hasZone: Bool

  package init(_ text: String) throws(Fault) {
    guard text.utf8.count <= TimeFormat.bytesMax else { throw Fault(reason: "it has more than \(TimeFormat.bytesMax) bytes", offset: 0) }
    self.text = text
    var parts: [Part] = []
    var (letters, places): (Set<UInt8>, Set<UInt8>) = ([], [])
    let bytes = Array(text.utf8)
    var at = 0
    while at < bytes.count {
      let c = bytes[at]
      at += 1
      if c == 0x20 || c == 0x09 {
        if case .space? = parts.last {} else { parts.append(.space) }
      } else if c != 0x25 {
        parts.append(.byte(c))
      } else {
        guard at < bytes.count, let found = TimeFormat.directive(bytes[at]) else {
          let letter = String(decoding: bytes[at...], as: UTF8.self).first.map(String.init) ?? ""
          throw Fault(reason: "there is no directive %\(letter)", offset: at - 1)
        }
        for place in TimeFormat.places(bytes[at]).utf8 where !places.insert(place).inserted {
          throw Fault(reason: "%\(UnicodeScalar(bytes[at])) says once more what the time has already", offset: at - 1)
        }
        letters.insert(bytes[at])
        parts += found
        at += 1
      }
    }
    self.parts = parts
    hasZone = letters.contains(UInt8(ascii: "z"))
    func has(_ any: String) -> Bool { any.utf8.contains(where: letters.contains) }
    guard has("YyF"), has("mbBF"), has("deF") else { throw Fault(reason: "a time needs a year, a month and a day", offset: 0) }
    guard has("I") == has("p") else { throw Fault(reason: "%I (hours to 12) and %p (AM or PM) belong together", offset: 0) }
  }

  /// What a directive says, as the letters of the directives that say it alone.
  private static func places(_ letter: UInt8) -> String {
    switch Character(UnicodeScalar(letter)) {
    case "y": "Y"
    case "e": "d"
    case "I": "H"
    case "b", "B", "h": "m"
    case "A": "a"
    case "T": "HMS"
    case "F": "Ymd"
    case "%": ""
    default: String(UnicodeScalar(letter))
    }
  }

  private static func directive(_ letter: UInt8) -> [Part]? {
    let colon = Part.byte(0x3A)
    let dash = Part.byte(0x2D)
    let year = Part.number(.year, digits: 4, 1, 9999)
    let month = Part.number(.month, digits: 2, 1, 12)
    let day = Part.number(.day, digits: 2, 1, 31)
    let hour = Part.number(.hour, digits: 2, 0, 23)
    let minute = Part.number(.minute, digits: 2, 0, 59)
    let second = Part.number(.second, digits: 2, 0, 59)
    switch Character(UnicodeScalar(letter)) {
    case "Y": return [year]
    case "y": return [.twoDigitYear]
    case "m": return [month]
    case "d", "e": return [.paddedDay]
    case "H": return [hour]
    case "I": return [.number(.hour12, digits: 2, 1, 12)]
    case "p": return [.half]
    case "M": return [minute]
    case "S": return [second]
    case "f": return [.fraction]
    case "b", "B", "h": return [.month]
    case "a", "A": return [.weekday]
    case "z": return [.zone]
    case "T": return [hour, colon, minute, colon, second]
    case "F": return [year, dash, month, dash, day]
    case "%": return [.byte(0x25)]
    default: return nil
    }
  }

  // MARK: Reading

  private struct Reading {
    var at: UnsafePointer<UInt8>
    let end: UnsafePointer<UInt8>
    var (year, month, day): (Int64, Int64, Int64) = (1970, 1, 1)
    var (hour, minute, second, micros): (Int64, Int64, Int64, Int64) = (0, 0, 0, 0)
    var hour12: Int64?
    var isAfternoon = false
    var offset: Int64?

    var next: UInt8? { at < end ? at.pointee : nil }

    init(_ text: StringRef) { (at, end) = (text.start, text.start + text.count) }

    @inline(__always)
    mutating func number(_ digits: Int, _ low: Int64, _ high: Int64) -> Int64? {
      var (value, count): (Int64, Int) = (0, 0)
      while count < digits, at < end, at.pointee &- 0x30 < 10 {
        let next = value * 10 + Int64(at.pointee &- 0x30)
        if next > high { break }
        (value, count) = (next, count + 1)
        at += 1
      }
      return count > 0 && value >= low && (digits != 4 || count == 4) ? value : nil
    }

    /// One of some words, which differ in their first three letters; letters of any case, the whole word or the three.
    mutating func word(_ words: [StaticString]) -> Int? {
      guard end - at >= 3 else { return nil }
      for (i, word) in words.enumerated() {
        func equals(_ count: Int) -> Bool {
          for i in 0..<count where at[i] | 0x20 != word.utf8Start[i] { return false }
          return true
        }
        guard equals(3) else { continue }
        let whole = word.utf8CodeUnitCount
        at += end - at >= whole && equals(whole) ? whole : 3
        return i
      }
      return nil
    }

    mutating func fraction() -> Bool {
      var (value, count): (Int64, Int) = (0, 0)
      while count < 9, at < end, at.pointee &- 0x30 < 10 {
        if count < 6 { value = value * 10 + Int64(at.pointee &- 0x30) }
        (at, count) = (at + 1, count + 1)
      }
      for _ in 0..<max(0, 6 - count) { value *= 10 }
      micros = value
      return count > 0
    }

    /// `Z`, `+0200`, `+02:00`, `+02:00:30`.
    mutating func zone() -> Bool {
      guard let sign = next else { return false }
      at += 1
      if sign | 0x20 == 0x7A {
        offset = 0
        return true
      }
      guard sign == 0x2B || sign == 0x2D, let hours = pair(23) else { return false }
      let isColon = next == 0x3A
      if isColon { at += 1 }
      guard let minutes = pair(59) else { return false }
      offset = (sign == 0x2D ? -1 : 1) * (hours * 3600 + minutes * 60)
      return true
    }

    private mutating func pair(_ high: Int64) -> Int64? {
      guard end - at >= 2, at[0] &- 0x30 < 10, at[1] &- 0x30 < 10 else { return nil }
      let value = Int64(at[0] &- 0x30) * 10 + Int64(at[1] &- 0x30)
      at += 2
      return value <= high ? value : nil
    }
  }

  private static let months: [StaticString] = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
  ]
  private static let weekdays: [StaticString] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

  /// - Returns: nil: the text has another form, or there is no such time.
  func parse(_ text: StringRef) -> Time? {
    var reading = Reading(text)
    for part in parts { guard TimeFormat.take(part, &reading) else { return nil } }
    guard reading.at == reading.end, FieldValues.isDate(reading.year, reading.month, reading.day) else { return nil }
    let hour = reading.hour12.map { $0 % 12 + (reading.isAfternoon ? 12 : 0) } ?? reading.hour
    let days = FieldValues.dayNumber(reading.year, reading.month, reading.day)
    let seconds = ((days * 24 + hour) * 60 + reading.minute) * 60 + reading.second
    return Time(micros: seconds * 1_000_000 + reading.micros, offset: reading.offset)
  }

  private static func take(_ part: Part, _ reading: inout Reading) -> Bool {
    switch part {
    case .byte(let byte):
      guard reading.next == byte else { return false }
      reading.at += 1
    case .space:
      let start = reading.at
      while let c = reading.next, c == 0x20 || c == 0x09 { reading.at += 1 }
      return reading.at > start
    case .number(let place, let digits, let low, let high):
      guard let value = reading.number(digits, low, high) else { return false }
      set(place, value, &reading)
    case .paddedDay:
      let isPadded = reading.next == 0x20
      if isPadded { reading.at += 1 }
      guard let value = isPadded ? reading.number(1, 1, 9) : reading.number(2, 1, 31) else { return false }
      reading.day = value
    case .twoDigitYear:
      let start = reading.at
      guard let value = reading.number(2, 0, 99), reading.at - start == 2 else { return false }
      reading.year = value + (value < 69 ? 2000 : 1900)
    case .month:
      guard let place = reading.word(months) else { return false }
      reading.month = Int64(place) + 1
    case .weekday: return reading.word(weekdays) != nil
    case .half:
      guard reading.end - reading.at >= 2, reading.at[1] | 0x20 == 0x6D else { return false }
      let first = reading.at[0] | 0x20
      guard first == 0x61 || first == 0x70 else { return false }
      reading.isAfternoon = first == 0x70
      reading.at += 2
    case .zone: return reading.zone()
    case .fraction: return reading.fraction()
    }
    return true
  }

  private static func set(_ place: Place, _ value: Int64, _ reading: inout Reading) {
    switch place {
    case .year: reading.year = value
    case .month: reading.month = value
    case .day: reading.day = value
    case .hour: reading.hour = value
    case .hour12: reading.hour12 = value
    case .minute: reading.minute = value
    case .second: reading.second = value
    }
  }
}
