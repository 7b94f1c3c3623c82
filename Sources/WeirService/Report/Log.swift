import WeirCore
import WeirEngine

/// What a live worker tells of its life on standard error: sentences for people, or JSON lines for programs.
public struct Log: Sendable {
  public enum Format: String, Sendable, CaseIterable { case text, json }

  public enum Level: String, Sendable, CaseIterable, Comparable {
    case debug, info, warning, error

    public static func < (a: Level, b: Level) -> Bool {
      allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)!
    }
  }

  let console: Console
  public var format: Format
  /// The least that is told.
  public var level: Level
  /// In every JSON line.
  public var fields: [JSONValue.Member]
  private let clock: any Clock

  public init(_ console: Console, format: Format, level: Level, clock: any Clock, fields: [JSONValue.Member] = []) {
    self.console = console
    self.format = format
    self.level = level
    self.clock = clock
    self.fields = fields
  }

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

  /// A JSON line: `time`, `level`, `message`, and what else there is. No name stands twice.
  func line(_ level: Level, _ message: String, _ more: [JSONValue.Member]) -> String {
    let own: [JSONValue.Member] = [
      .init("time", .string(CivilTime.text(ofMicroseconds: clock.wallMicroseconds))), .init("level", .string(level.rawValue)),
      .init("message", .string(message)),
    ]
    return JSONValue.object(own + fields + more).text
  }

  func debug(_ message: String, _ more: [JSONValue.Member] = []) { tell(.debug, message, more) }
  func info(_ message: String, _ more: [JSONValue.Member] = []) { tell(.info, message, more) }
  func warning(_ message: String, _ more: [JSONValue.Member] = []) { tell(.warning, message, more) }

  /// An error that ends the worker, or something that was lost.
  func error(_ message: String, _ more: [JSONValue.Member] = []) { tell(.error, message, more) }

  /// What an error answers, for programs.
  static func members(_ error: WeirError) -> [JSONValue.Member] {
    [
      .init("code", .string(error.code)), .init("advice", error.advice.map { .string($0) } ?? .null),
      .init("retriable", .bool(error.isRetriable)), .init("fatal_to", .string(error.fatalTo.rawValue)),
    ]
  }

  /// A record that a line mentions, and who follows it through the systems.
  static func members(_ sample: RejectedSamples.Sample) -> [JSONValue.Member] {
    [
      .init("shard", .string(sample.shard)), .init("position", .int(sample.position)), .init("stage", .string(sample.stage)),
      .init("reason", .string(sample.reason)),
    ] + (sample.trace.map { [.init("trace_id", .string($0.traceID)), .init("span_id", .string($0.spanID))] } ?? [])
  }
}

/// Lets so many lines a minute through, and counts the others. Pure.
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
