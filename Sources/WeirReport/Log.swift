import Synchronization
import WeirCore
import WeirEngine

/// What a live worker tells of its life on standard error: sentences for people, or JSON lines for programs.
package struct Log: Sendable {
  package enum Format: String, Sendable, CaseIterable { case text, json }

  package enum Level: String, Sendable, CaseIterable, Comparable {
    case debug, info, warning, error

    package static func < (a: Level, b: Level) -> Bool {
      allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)!
    }
  }

  package let console: Console
  package var format: Format
  /// The least that is told.
  package var level: Level
  /// In every JSON line.
  package var fields: [JSONValue.Member]
  private let clock: any Clock
  private let repeats = Repeats()

  /// One for all copies of a log.
  private final class Repeats: Sendable { let lines = Mutex(RepeatedLines()) }

  package init(_ console: Console, format: Format, level: Level, clock: any Clock, fields: [JSONValue.Member] = []) {
    self.console = console
    self.format = format
    self.level = level
    self.clock = clock
    self.fields = fields
  }

  /// What a command without a log of its own tells: sentences.
  package static func talk(_ console: Console, clock: any Clock) -> Log { Log(console, format: .text, level: .info, clock: clock) }

  /// - Parameters:
  ///   - message: a sentence that says it all: text lines have nothing else.
  ///   - more: the same for programs.
  func tell(_ level: Level, _ message: String, _ more: [JSONValue.Member] = []) {
    guard level >= self.level else { return }
    switch format {
    case .text: console.talk(message)
    case .json: console.talk(line(level, message, more))
    }
  }

  /// A line that may come again and again while something is amiss: told as ``RepeatedLines`` lets it.
  func repeating(_ level: Level, _ message: String, _ more: [JSONValue.Member] = []) {
    guard level >= self.level else { return }
    tellOver()
    let words = message.prefix { $0 != "\n" }
    switch repeats.lines.withLock({ $0.came(words, at: clock.monotonicNanoseconds) }) {
    case .tell: tell(level, message, more)
    case .tellAgain(let untold, let nanoseconds):
      let seconds = nanoseconds / 1_000_000_000
      tell(
        level, "\(message) (and \(Human.count(untold)) more like it in the last \(seconds) s)",
        more + [.init("suppressed", .int(untold)), .init("suppressed_seconds", .int(seconds))])
    case .hold: break
    }
  }

  /// Says once what came again and again, and comes no more. To be called now and then.
  package func tellOver() {
    for over in repeats.lines.withLock({ $0.takeOver(at: clock.monotonicNanoseconds) }) {
      tell(over, "ended (none for \(RepeatedLines.quietNanoseconds / 1_000_000_000) s)")
    }
  }

  /// The log ends: what was not told is counted in it.
  package func end() { for over in repeats.lines.withLock({ $0.takeUntold() }) { tell(over, "repeats suppressed") } }

  private func tell(_ over: RepeatedLines.Over, _ word: String) {
    let seconds = over.nanoseconds / 1_000_000_000
    info(
      "\(word): \(over.words): \(Human.count(over.times)) times in \(seconds) s",
      [.init("event", .string("repeats_ended")), .init("times", .int(over.times)), .init("seconds", .int(seconds))])
  }

  /// Lines that were not told because the same had been told shortly before.
  package var held: Int64 { repeats.lines.withLock { $0.held } }

  /// A JSON line: `time`, `level`, `message`, and what else there is. No name stands twice.
  func line(_ level: Level, _ message: String, _ more: [JSONValue.Member]) -> String {
    let own: [JSONValue.Member] = [
      .init("time", .string(CivilTime.text(ofMicroseconds: clock.wallMicroseconds))), .init("level", .string(level.rawValue)),
      .init("message", .string(message)),
    ]
    return JSONValue.object(own + fields + more).text
  }

  func debug(_ message: String, _ more: [JSONValue.Member] = []) { tell(.debug, message, more) }
  package func info(_ message: String, _ more: [JSONValue.Member] = []) { tell(.info, message, more) }
  package func warning(_ message: String, _ more: [JSONValue.Member] = []) { tell(.warning, message, more) }

  /// An error that ends the worker, or something that was lost.
  package func error(_ message: String, _ more: [JSONValue.Member] = []) { tell(.error, message, more) }

  /// An error behind which the work goes on by itself.
  package func trouble(_ error: WeirError, _ more: String = "") {
    repeating(.warning, "weir: \(error.words)\(more)", [.init("event", .string("trouble"))] + Log.members(error))
  }

  /// A line of a source's client: of Kafka's own log, or of the reader of another source, which is the facility then.
  /// - Parameters:
  ///   - level: syslog's number of it, 0 the worst.
  ///   - isDebugging: tells also what is no warning.
  package func kafka(_ level: Int, _ facility: String, _ text: String, isDebugging: Bool = false) {
    let isOwn = facility == "kinesis"
    let words = isOwn ? "\(facility): \(text)" : "kafka \(facility): \(text)"
    let members: [JSONValue.Member] = [.init("event", .string(isOwn ? facility : "kafka")), .init("facility", .string(facility))]
    if level <= Log.syslogWarning { repeating(.warning, words, members) } else if isDebugging { info(words, members) }
  }

  private static let syslogWarning = 4

  /// What an error answers, for programs.
  package static func members(_ error: WeirError) -> [JSONValue.Member] {
    [
      .init("code", .string(error.code.rawValue)), .init("advice", error.advice.map { .string($0.words) } ?? .null),
      .init("retriable", .bool(error.isRetriable)), .init("fatal_to", .string(error.fatalTo.rawValue)),
    ]
  }

  /// The first record of a kind that was rejected, and who follows it through the systems.
  static func members(_ kind: RejectedReasons.Kind) -> [JSONValue.Member] {
    let sample = kind.sample
    return [
      .init("shard", .string(sample.shard)), .init("position", sample.position.position.json), .init("stage", .string(kind.stage)),
      .init("reason", .string(sample.reason)), .init("count", .int(kind.count)), .init("record", .string(sample.record)),
      .init("hint", sample.hint.map { .string($0) } ?? .null),
    ] + (sample.trace.map { [.init("trace_id", .string($0.traceID)), .init("span_id", .string($0.spanID))] } ?? [])
  }
}

/// Lets a number of lines per minute through, and counts the others. Pure.
struct LineBudget {
  private let linesMax: Int
  private var minute: Int64 = .min
  private var told = 0
  private(set) var untold: Int64 = 0

  init(linesMax: Int) { self.linesMax = linesMax }

  mutating func admit(at nanoseconds: Int64) -> Bool {
    let minute = nanoseconds / 60_000_000_000
    if minute != self.minute { (self.minute, told) = (minute, 0) }
    guard told < linesMax else {
      untold += 1
      return false
    }
    told += 1
    return true
  }

  /// How many were not told since this was last asked.
  mutating func takeUntold() -> Int64 {
    defer { untold = 0 }
    return untold
  }
}
