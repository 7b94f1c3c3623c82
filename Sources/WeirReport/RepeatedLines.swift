/// Keeps a log short while the same line comes again and again. Pure: times are passed in.
///
///     first ── told ──► repeats are counted ── interval over ──► told with their number, the interval doubles ──► …
///                             └─ none for `quietNanoseconds` ──► told once that it is over, and forgotten
///
/// Bounds: at most ``kindsMax`` kinds are remembered, and those that come meanwhile share one more; a kind has one line in
/// ``intervalMin`` at most while it lasts, and one when it is over.
struct RepeatedLines {
  /// Between the first line of a kind and the next.
  static let intervalMin: Int64 = 60_000_000_000
  static let intervalMax: Int64 = 3_600_000_000_000
  /// What did not come for so long is over. The Kafka client itself repeats an error every 30 s.
  static let quietNanoseconds: Int64 = 60_000_000_000
  static let kindsMax = 256
  /// Of a line, to say later what is over.
  static let wordsMax = 300

  enum Verdict: Equatable {
    case tell
    /// Report it, and how often it came since the last report.
    case tellAgain(untold: Int64, nanoseconds: Int64)
    case hold
  }

  /// Lines of a kind that came more than once.
  struct Over: Equatable {
    var words: String
    var times: Int64
    /// From the first to the last.
    var nanoseconds: Int64
  }

  private struct Standing {
    var words: String
    var firstAt: Int64
    var lastAt: Int64
    var toldAt: Int64
    var interval = RepeatedLines.intervalMin
    var times: Int64 = 1
    var untold: Int64 = 0

    var over: Over { Over(words: words, times: times, nanoseconds: lastAt - firstAt) }
  }

  private var kinds: [String: Standing] = [:]
  /// Lines that were not told.
  private(set) var held: Int64 = 0

  /// - Parameter words: what is told; lines whose ``LineKind`` is the same are of one kind.
  mutating func came(_ words: some StringProtocol, at now: Int64) -> Verdict {
    var kind = LineKind.of(words)
    if kinds[kind] == nil, kinds.count >= RepeatedLines.kindsMax { kind = RepeatedLines.othersKind }
    guard var standing = kinds[kind] else {
      kinds[kind] = Standing(words: String(words.prefix(RepeatedLines.wordsMax)), firstAt: now, lastAt: now, toldAt: now)
      return .tell
    }
    defer { kinds[kind] = standing }
    standing.times += 1
    standing.lastAt = now
    guard now - standing.toldAt >= standing.interval else {
      standing.untold += 1
      held += 1
      return .hold
    }
    defer {
      standing.interval = min(RepeatedLines.intervalMax, standing.interval * 2)
      standing.toldAt = now
      standing.untold = 0
    }
    return standing.untold == 0 ? .tell : .tellAgain(untold: standing.untold, nanoseconds: now - standing.toldAt)
  }

  /// No line has this kind: kinds are not empty.
  private static let othersKind = ""

  /// What came more than once, and now has not come for long: told once.
  mutating func takeOver(at now: Int64) -> [Over] {
    take { now - $0.lastAt >= RepeatedLines.quietNanoseconds }.filter { $0.times > 1 }.map(\.over)
  }

  /// The log ends: what has lines that were not told.
  mutating func takeUntold() -> [Over] { take { _ in true }.filter { $0.untold > 0 }.map(\.over) }

  private mutating func take(_ isTaken: (Standing) -> Bool) -> [Standing] {
    let taken = kinds.filter { isTaken($0.value) }
    for kind in taken.keys { kinds[kind] = nil }
    return taken.values.sorted { ($0.firstAt, $0.words) < ($1.firstAt, $1.words) }
  }
}

/// What a line says but for its numbers, times and ids. Addresses stay (without what the Kafka client writes behind them,
/// `/1` or `/bootstrap`): the same error of another broker is another kind.
enum LineKind {
  static let bytesMax = 512
  /// From this number of hexadecimal digits on, of which one is below ten, it is an id.
  private static let idDigitsMin = 8

  static func of(_ text: some StringProtocol) -> String {
    var kind: [UInt8] = []
    var words = Array(text.utf8.prefix(bytesMax)).split(whereSeparator: isSeparator).map { Array($0) }
    dropCount(&words)
    for word in words {
      if !kind.isEmpty { kind.append(UInt8(ascii: " ")) }
      kind += isAddress(word) ? word.prefix { $0 != UInt8(ascii: "/") } : masked(word)[...]
    }
    return kind.isEmpty ? " " : String(decoding: kind, as: UTF8.self)
  }

  /// The Kafka client counts some repetitions itself, `(after 0ms in state CONNECT, 4 identical error(s) suppressed)`: the same line.
  private static func dropCount(_ words: inout [[UInt8]]) {
    guard let last = words.lastIndex(of: Array("suppressed".utf8)), last >= 4, words[last - 3] == Array("identical".utf8) else { return }
    words.removeSubrange(last - 4...last)
  }

  private static func isSeparator(_ byte: UInt8) -> Bool { byte <= 0x20 || separators.contains(byte) }
  private static let separators = Set("()[]{}<>\"'`,;=|".utf8)

  /// `kafka-1:9092`, `10.0.0.1`, `10.0.0.1:9092/1`, `thrd:10.0.0.1:9092`, `fe80::1`; a time of day is none.
  private static func isAddress(_ word: [UInt8]) -> Bool {
    let parts = word.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    if parts.contains(where: isIPv4) { return true }
    if parts.count > 2, parts.contains(where: \.isEmpty) { return word.contains(where: isDigit) }
    return zip(parts, parts.dropFirst()).contains { host, port in host.first.map(isLetter) == true && port.first.map(isDigit) == true }
  }

  private static func isIPv4(_ part: ArraySlice<UInt8>) -> Bool {
    let groups = part.split(separator: UInt8(ascii: "."))
    return groups.count == 4 && groups.dropFirst().allSatisfy { $0.first.map(isDigit) == true }
  }

  private static func masked(_ word: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    var at = 0
    var isInsideID = false
    while at < word.count {
      let end = word[at...].firstIndex { !isDigit($0) && !isLetter($0) } ?? word.count
      if end == at {
        isInsideID = isInsideID && word[at] == UInt8(ascii: "-")
        out.append(word[at])
        at += 1
        continue
      }
      let run = word[at..<end]
      isInsideID = run.allSatisfy(isHexadecimal) && (isInsideID || run.count >= idDigitsMin && run.contains(where: isDigit))
      out += isInsideID ? [mark] : maskedRun(run)
      at = end
    }
    return joined(out)
  }

  /// Each row of digits as one mark.
  private static func maskedRun(_ run: ArraySlice<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    for byte in run {
      if !isDigit(byte) { out.append(byte) } else if out.last != mark { out.append(mark) }
    }
    return out
  }

  /// `0.5`, `12:00:01` and `2026-01-31` are one number each.
  private static func joined(_ masked: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    for byte in masked {
      if byte == mark, out.count > 1, out[out.count - 2] == mark, joints.contains(out[out.count - 1]) {
        out.removeLast()
      } else {
        out.append(byte)
      }
    }
    return out
  }

  private static let mark = UInt8(ascii: "#")
  private static let joints = Set(".:-".utf8)
  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
  private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }
  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
  }
}
