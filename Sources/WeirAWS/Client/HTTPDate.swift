import WeirCore

/// Times in answers of services.
package enum HTTPDate {
  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7) in seconds since 1970; nil: not such a text.
  package static func seconds(_ text: String) -> Int64? {
    let words = text.split(separator: " ")
    guard words.count == 6, words[5] == "GMT", let day = number(words[1]), let month = months.firstIndex(of: String(words[2])),
      let year = number(words[3])
    else { return nil }
    let time = words[4].split(separator: ":").map(number)
    guard time.count == 3, let hour = time[0], let minute = time[1], let second = time[2] else { return nil }
    return seconds((year, Int64(month) + 1, day), (hour, minute, second))
  }

  /// `2026-01-31T23:59:59Z`, also with a fraction, `+00:00` or another offset, in seconds since 1970; nil: not such a text.
  static func iso8601Seconds(_ text: String) -> Int64? {
    let text = Array(text.utf8)
    guard text.count >= 20, text[4] == UInt8(ascii: "-"), text[7] == UInt8(ascii: "-"), text[10] | 0x20 == UInt8(ascii: "t"),
      text[13] == UInt8(ascii: ":"), text[16] == UInt8(ascii: ":")
    else { return nil }
    func field(_ range: Range<Int>) -> Int64? { number(Substring(decoding: text[range], as: UTF8.self)) }
    guard let year = field(0..<4), let month = field(5..<7), let day = field(8..<10), let hour = field(11..<13),
      let minute = field(14..<16), let second = field(17..<19), let base = seconds((year, month, day), (hour, minute, second))
    else { return nil }
    var rest = text[19...]
    if rest.first == UInt8(ascii: ".") { rest = rest.dropFirst().drop { (0x30...0x39).contains($0) } }
    return offset(Array(rest)).map { base - $0 }
  }

  private static func offset(_ zone: [UInt8]) -> Int64? {
    switch zone.first {
    case UInt8(ascii: "Z"), UInt8(ascii: "z"): return zone.count == 1 ? 0 : nil
    case UInt8(ascii: "+"), UInt8(ascii: "-"):
      let digits = zone.dropFirst().filter { $0 != UInt8(ascii: ":") }
      guard digits.count == 4, let hours = number(Substring(decoding: digits[..<2], as: UTF8.self)),
        let minutes = number(Substring(decoding: digits[2...], as: UTF8.self)), hours < 24, minutes < 60
      else { return nil }
      return (hours * 60 + minutes) * 60 * (zone[0] == UInt8(ascii: "-") ? -1 : 1)
    case nil: return 0
    default: return nil
    }
  }

  private static func seconds(_ date: (Int64, Int64, Int64), _ time: (Int64, Int64, Int64)) -> Int64? {
    guard (1970...9999).contains(date.0), (1...12).contains(date.1), (1...31).contains(date.2), time.0 < 24, time.1 < 60, time.2 <= 60
    else { return nil }
    return day(date) * 86_400 + time.0 * 3600 + time.1 * 60 + time.2
  }

  /// Howard Hinnant, "chrono-compatible low-level date algorithms".
  private static func day(_ date: (year: Int64, month: Int64, day: Int64)) -> Int64 {
    let year = date.month <= 2 ? date.year - 1 : date.year
    let era = year / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func number(_ text: some StringProtocol) -> Int64? {
    guard !text.isEmpty, text.utf8.count <= 4, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int64(text)
  }
}
