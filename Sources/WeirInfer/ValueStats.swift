import WeirCore
import WeirOperators

/// What numbers look like.
struct NumberStats {
  var count = 0
  /// Without an exponent, with a point.
  var fractions = 0
  var exponents = 0
  /// Integers that are no `Int64`.
  var large = 0
  /// The most digits before and after the point, of numbers without an exponent.
  var digits = 0
  var scale = 0
  var least = Double.infinity
  var most = -Double.infinity
  /// Those that would be times from 2001 to 2100 as seconds, milliseconds, microseconds and nanoseconds.
  var epochs = [0, 0, 0, 0]

  private static let units: [Double] = [1, 1e3, 1e6, 1e9]

  mutating func take(_ text: some StringProtocol) {
    let value = Double(String(text)) ?? 0
    count += 1
    (least, most) = (min(least, value), max(most, value))
    for (unit, scale) in NumberStats.units.enumerated() where value >= 1e9 * scale && value < 4.2e9 * scale { epochs[unit] += 1 }
    let bytes = text.utf8
    guard !bytes.contains(where: { $0 | 0x20 == UInt8(ascii: "e") }) else { return exponents += 1 }
    let whole = bytes.prefix { $0 != UInt8(ascii: ".") }.count { $0 &- 0x30 < 10 }
    let part = bytes.drop { $0 != UInt8(ascii: ".") }.dropFirst().count
    if part > 0 { fractions += 1 } else if Int64(String(text)) == nil { large += 1 }
    (digits, scale) = (max(digits, whole), max(scale, part))
  }

  mutating func merge(_ other: NumberStats) {
    count += other.count
    fractions += other.fractions
    exponents += other.exponents
    large += other.large
    (digits, scale) = (max(digits, other.digits), max(scale, other.scale))
    (least, most) = (min(least, other.least), max(most, other.most))
    for unit in epochs.indices { epochs[unit] += other.epochs[unit] }
  }
}

/// What texts look like.
struct TextStats {
  var count = 0
  var bytesMax = 0
  var bools = 0
  /// Times with a zone.
  var zoned = 0
  /// Times and dates without one.
  var local = 0
  /// Those that are numbers, and how many of them begin with a zero as numbers do not.
  var numbers = NumberStats()
  var padded = 0
  /// A comma before the fraction: how many numbers there would be, with and without one.
  var commas = NumberStats()

  mutating func take(_ text: String, hasCommas: Bool) {
    count += 1
    bytesMax = max(bytesMax, text.utf8.count)
    guard let first = text.utf8.first, text.utf8.count <= 64 else { return }
    if ["true", "false"].contains(text.lowercased()) { return bools += 1 }
    guard first &- 0x30 < 10 || first == UInt8(ascii: "-") else { return }
    if TextStats.isNumber(text) {
      numbers.take(text)
      if hasCommas, !text.utf8.contains(UInt8(ascii: ".")) { commas.take(text) }
      let digits = text.utf8.drop { $0 == UInt8(ascii: "-") }
      if digits.count > 1, digits.first == 0x30, digits.dropFirst().first != UInt8(ascii: ".") { padded += 1 }
    } else if hasCommas, TextStats.isNumber(text.replacing(",", with: ".", maxReplacements: 1)), !text.contains(".") {
      commas.take(text.replacing(",", with: "."))
    } else if TimestampText.parse(text).microseconds != nil {
      zoned += 1
    } else if TextStats.local(text) != nil {
      local += 1
    }
  }

  /// `-12`, `12.50`: what is a number in every language.
  static func isNumber(_ text: String) -> Bool {
    let bytes = text.utf8.drop { $0 == UInt8(ascii: "-") }
    guard text.utf8.count - bytes.count <= 1 else { return false }
    let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    return parts.count <= 2 && parts.allSatisfy { part in !part.isEmpty && part.allSatisfy { $0 &- 0x30 < 10 } }
  }

  /// A time or date without a zone, as if it were UTC.
  static func local(_ text: String) -> Int64? {
    TimestampText.parse(text + "Z").microseconds ?? TimestampText.parse(text + "T00:00:00Z").microseconds
  }
}

/// What the values at one place of the records were.
final class ValueStats {
  /// `infer_places`: places that are looked at, in all records together.
  static let placesMax = 10_000
  /// `infer_members`: names at one place, above which it holds data and no names.
  static let membersMax = 200

  private(set) var seen = 0
  private(set) var nulls = 0
  private(set) var bools = 0
  private(set) var numbers = NumberStats()
  private(set) var texts = TextStats()
  private(set) var objects = 0
  private(set) var arrays = 0
  /// In the order of their first appearance.
  private(set) var members: [(name: String, stats: ValueStats)] = []
  private var index: [String: Int] = [:]
  /// It has more members than are looked at.
  private(set) var isCrowded = false
  private(set) var element: ValueStats?

  /// Values that are not null.
  var given: Int { seen - nulls }

  /// - Parameter places: how many places there are by now.
  func take(_ value: JSONValue, _ places: inout Int, hasCommas: Bool = false) {
    seen += 1
    switch value {
    case .null: nulls += 1
    case .bool: bools += 1
    case .int(let number): numbers.take(String(number))
    case .number(let text): numbers.take(text)
    case .string(let text): texts.take(text, hasCommas: hasCommas)
    case .array(let items):
      arrays += 1
      if element == nil, !items.isEmpty, places < ValueStats.placesMax {
        places += 1
        element = ValueStats()
      }
      for item in items { element?.take(item, &places) }
    case .object(let list):
      objects += 1
      for member in ValueStats.last(list) { self.member(member.name, &places)?.take(member.value, &places, hasCommas: hasCommas) }
    }
  }

  private func member(_ name: String, _ places: inout Int) -> ValueStats? {
    if let number = index[name] { return members[number].stats }
    guard members.count < ValueStats.membersMax, places < ValueStats.placesMax else {
      isCrowded = true
      return nil
    }
    places += 1
    index[name] = members.count
    members.append((name, ValueStats()))
    return members[members.count - 1].stats
  }

  /// Of a member that is repeated the last one counts.
  private static func last(_ members: [JSONValue.Member]) -> [JSONValue.Member] {
    var seen = Set<String>()
    guard members.contains(where: { !seen.insert($0.name).inserted }) else { return members }
    var places: [String: Int] = [:]
    var out: [JSONValue.Member] = []
    for member in members {
      if let place = places[member.name] {
        out[place] = member
      } else {
        places[member.name] = out.count
        out.append(member)
      }
    }
    return out
  }

  /// The names are data, such as ids: many of them, each in few records.
  var isMap: Bool {
    if isCrowded { return true }
    guard members.count >= 16, objects > 0 else { return false }
    return members.reduce(0) { $0 + $1.stats.seen } * 4 < members.count * objects
  }
}
