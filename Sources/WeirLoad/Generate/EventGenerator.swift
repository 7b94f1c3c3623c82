/// What a generated stream is like.
package struct GeneratorSettings: Sendable, Hashable {
  package var stream: EventStream
  package var seed: UInt64 = 42
  /// Event time of the first event, UTC milliseconds since 1970; the default is 50 s before 2026, so that an hour passes.
  package var startMilliseconds = 1_767_225_600_000 - 50_000
  /// Events a second of event time.
  package var rate = 10_000
  /// Share of events that are sent again, the same bytes, up to ``duplicateWithin`` events later.
  package var duplicates = 0.02
  package var duplicateWithin = 50_000
  /// Share of events that are late by up to ``lateMilliseconds``; the others by up to 50 ms.
  package var disorder = 0.3
  package var lateMilliseconds = 2_000
  /// Share of lines that are damaged: cut short, another text, or (a fifth) a last number with a fraction, which a time may have.
  package var malformed = 0.001
  /// Share of events that go to the hundredth of keys that is hot.
  package var skew = 0.2

  package init(_ stream: EventStream) { self.stream = stream }
}

/// Makes the lines of a stream, one after the other. The same settings give the same bytes.
package struct EventGenerator {
  private enum Purpose {
    static let event: UInt64 = 1
    static let fate: UInt64 = 2
    static let malformed: UInt64 = 3
  }

  private let settings: GeneratorSettings
  /// The next event that was not sent yet.
  private var fresh: Int64 = 0
  private var line: Int64 = 0
  /// Events to be sent again, by the line at which they are due: a heap, bounded by ``GeneratorSettings/duplicateWithin``.
  private var again = DueHeap()

  package init(_ settings: GeneratorSettings) { self.settings = settings }

  /// Appends the next line, with its end.
  package mutating func next(into out: inout [UInt8]) {
    var writer = LineWriter(bytes: out)
    out = []
    write(&writer)
    writer.bytes.append(UInt8(ascii: "\n"))
    out = writer.bytes
    line += 1
  }

  private mutating func write(_ writer: inout LineWriter) {
    var fate = SeededRandom(seed: settings.seed, purpose: Purpose.malformed, event: line)
    if fresh > 0, fate.chance(settings.malformed) {
      return breakLine(of: Int64(fate.below(Int(fresh))), &fate, &writer)
    }
    if let due = again.take(through: line) { return event(due, &writer) }
    var repeated = SeededRandom(seed: settings.seed, purpose: Purpose.fate, event: fresh)
    if repeated.chance(settings.duplicates) {
      again.add(fresh, due: line + 1 + Int64(repeated.below(max(1, settings.duplicateWithin))))
    }
    event(fresh, &writer)
    fresh += 1
  }

  /// Event `i`: depends on the settings and `i` alone.
  private func event(_ i: Int64, _ writer: inout LineWriter) {
    var random = SeededRandom(seed: settings.seed, purpose: Purpose.event, event: i)
    let key = EventGenerator.key(settings, &random)
    let late = random.chance(settings.disorder) ? random.below(max(1, settings.lateMilliseconds)) : random.below(50)
    let time = settings.startMilliseconds + Int(i) * 1000 / max(1, settings.rate) - late
    settings.stream.write(&random, key: key, time: time, into: &writer)
  }

  private static func key(_ settings: GeneratorSettings, _ random: inout SeededRandom) -> Int {
    let keys = settings.stream.keys
    return random.chance(settings.skew) ? random.below(max(1, keys / 100)) : random.below(keys)
  }

  /// Event `i` at a time that is given.
  static func event(_ settings: GeneratorSettings, _ i: Int64, time: Int, into writer: inout LineWriter) {
    var random = SeededRandom(seed: settings.seed, purpose: Purpose.event, event: i)
    let key = key(settings, &random)
    settings.stream.write(&random, key: key, time: time, into: &writer)
  }

  private func breakLine(of i: Int64, _ random: inout SeededRandom, _ writer: inout LineWriter) {
    let start = writer.bytes.count
    switch random.below(5) {
    case 0..<3:
      event(i, &writer)
      let length = writer.bytes.count - start
      writer.bytes.removeLast(length - 1 - random.below(length - 2))
    case 3: writer.add("#### connection reset by peer ####")
    default:
      event(i, &writer)
      writer.bytes.removeLast()
      writer.add(".7}")
    }
  }
}

/// Events by the line at which they are due.
private struct DueHeap {
  private var items: [(due: Int64, event: Int64)] = []

  private func isLess(_ a: Int, _ b: Int) -> Bool { (items[a].due, items[a].event) < (items[b].due, items[b].event) }

  mutating func add(_ event: Int64, due: Int64) {
    items.append((due, event))
    var i = items.count - 1
    while i > 0, isLess(i, (i - 1) / 2) {
      items.swapAt(i, (i - 1) / 2)
      i = (i - 1) / 2
    }
  }

  mutating func take(through line: Int64) -> Int64? {
    guard let first = items.first, first.due <= line else { return nil }
    let last = items.removeLast()
    if !items.isEmpty {
      items[0] = last
      sink()
    }
    return first.event
  }

  private mutating func sink() {
    var i = 0
    while true {
      var least = i
      for child in [2 * i + 1, 2 * i + 2] where child < items.count && isLess(child, least) { least = child }
      if least == i { return }
      items.swapAt(i, least)
      i = least
    }
  }
}
