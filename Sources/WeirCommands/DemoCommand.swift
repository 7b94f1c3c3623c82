import Foundation
import Synchronization
import WeirConfiguration
import WeirCore
import WeirEngine
import WeirObserve
import WeirPlan
import WeirReport

/// `weir demo`: a generated stream through a built-in pipeline. It runs what `weir generate` and `weir replay` run, in a directory of its own.
package enum DemoCommand {
  private static let (pipelineFile, captureFile) = ("orders.yaml", "orders.ndjson")
  private static let customersShown = 5

  /// - Parameters:
  ///   - keep: the directory that the files are left in; nil: they are removed.
  ///   - showPipeline: prints the pipeline, and runs nothing.
  /// - Returns: the exit code.
  package static func run(keep: String?, showPipeline: Bool, host: any AdminHost, console: Console) async throws -> Int32 {
    if showPipeline {
      console.data(Array(DemoPipeline.text.utf8))
      return 0
    }
    let directory = try keep.map(kept) ?? scratch()
    defer { if keep == nil { try? FileManager.default.removeItem(atPath: directory) } }
    let (pipeline, capture) = (directory + "/" + pipelineFile, directory + "/" + captureFile)
    guard FileManager.default.createFile(atPath: pipeline, contents: Data(DemoPipeline.text.utf8)) else {
      throw WeirError(.storageRefused, "cannot write the file \(pipeline)", advice: "Is there space left?")
    }
    _ = try GenerateCommand.run(DemoPipeline.stream, count: DemoPipeline.count, out: capture, console: console)
    let replay = Collected()
    let options = ReplayOptions(
      pipeline: pipeline, captures: [capture], lake: nil, store: nil, lanes: nil, keepOpen: false, pace: nil, json: true)
    let code = try await ReplayCommand.run(options, host: host, console: replay.console)
    guard code == 0, let done = replay.done else {
      for line in replay.messages { console.talk(line) }
      return code == 0 ? 1 : code
    }
    try await show(DemoResult(done), pipeline, console)
    if let keep {
      console.talk("\nThe files are in \(keep). Next:")
      for command in ["weir explain", "weir ledger verify", "weir state scan \(DemoPipeline.stateTable) --limit 5 --pipeline"] {
        console.talk("  \(command) \(keep)/\(pipelineFile)")
      }
    } else {
      console.talk(
        "\nThe files were removed; --keep DIR leaves them in a directory. --show-pipeline prints the pipeline, as a template for yours.")
    }
    return 0
  }

  private static func show(_ result: DemoResult, _ file: String, _ console: Console) async throws {
    let pipeline = try await LoadedPipeline.read(file)
    let plan = pipeline.plan
    func heading(_ text: String) { console.data("\n" + text, marking: text, .strong) }
    console.data("\(Human.count(result.input)) generated orders through one pipeline, in \(result.seconds) s")

    heading("Where every record went")
    let rows: [(String, Int64, String)] = [
      ("accepted", result.accepted, "in \(plan.path(of: .silver))"),
      ("duplicate", result.duplicate, "sent twice, counted once"),
      ("filtered", result.filtered, "dropped by the check not_returned"),
      ("quarantined", result.quarantined, "damaged or implausible: in \(plan.path(of: .quarantine)), each with its reason"),
    ]
    for (name, count, words) in rows { console.data(line(name, count, words)) }
    let sum = rows.reduce(0) { $0 + $1.1 }
    console.data(line("sum", sum, sum == result.input ? "= records read" : "but \(Human.count(result.input)) records were read"))

    let gold = try await GoldRows.read(pipeline, table: 0)
    heading("Orders and revenue per status and 10 s: the table \(plan.path(of: .gold(0)))")
    try gold.show(console)
    let late = result.rows(of: plan.path(of: .late(0)))
    let (counted, total) = (gold.orders, gold.orders + late)
    console.data(
      "\(Human.count(counted)) orders in windows + \(Human.count(late)) too late for theirs (\(plan.path(of: .late(0)))) = \(Human.count(total))"
        + (total == result.accepted ? " accepted" : ", but \(Human.count(result.accepted)) were accepted"))

    heading("Totals per customer, the first \(customersShown): the state table \(DemoPipeline.stateTable)")
    _ = try await StateCommands.scan(
      table: DemoPipeline.stateTable, prefix: nil, limit: customersShown, store: nil, pipeline: file, lake: nil, format: .table,
      console: console)
  }

  private static func line(_ name: String, _ count: Int64, _ words: String) -> String {
    let number = Human.count(count)
    return "  " + name.padding(toLength: 12, withPad: " ", startingAt: 0)
      + String(repeating: " ", count: max(0, 8 - number.count)) + number + "  " + words
  }

  /// A new directory that no other program uses. In memory where there is room: nothing has to be kept, and a busy disk delays nothing.
  private static func scratch() throws -> String {
    let configured = ProcessInfo.processInfo.environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 }
    let parent = configured ?? (hasRoom(memory) ? memory : "/tmp")
    var path = Array((parent + "/weir-demo-XXXXXX").utf8CString)
    guard mkdtemp(&path) != nil else {
      throw WeirError(
        .storageRefused, "cannot create a directory in \(parent): \(String(cString: strerror(errno)))",
        advice: "Set TMPDIR to a directory that can be written, or name a new directory with --keep.")
    }
    return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static let (memory, scratchBytes) = ("/dev/shm", 64 << 20)

  private static func hasRoom(_ directory: String) -> Bool {
    var space = statvfs()
    return access(directory, W_OK) == 0 && statvfs(directory, &space) == 0 && Int(space.f_bavail) * Int(space.f_frsize) >= scratchBytes
  }

  /// A directory that holds nothing yet.
  private static func kept(_ directory: String) throws -> String {
    let path = Paths.normal(try PathText.checked(directory, "--keep"))
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      guard try FileManager.default.contentsOfDirectory(atPath: path).isEmpty else {
        throw WeirError(.config, "--keep \(directory): the directory is not empty", advice: "Name a new directory.")
      }
    } catch let error as WeirError {
      throw error
    } catch {
      throw WeirError(
        .storageRefused, "--keep \(directory): cannot create this directory", advice: "Name a new directory where you can write.")
    }
    return path
  }
}

/// What a replay prints for programs.
private final class Collected: Sendable {
  private let results = Mutex<[UInt8]>([])
  private let talk = Mutex<[UInt8]>([])

  var console: Console {
    Console(
      results: { [self] bytes in
        results.withLock { $0 += bytes }
        return 0
      }, messages: { [self] bytes in talk.withLock { $0 += bytes } })
  }

  private static func lines(_ bytes: borrowing Mutex<[UInt8]>) -> [String] {
    bytes.withLock { $0.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) } }
  }

  var messages: [String] { Collected.lines(talk) }

  /// The line of the end; nil: there is none.
  var done: JSONValue? {
    Collected.lines(results).compactMap { try? JSONValue(parsing: Array($0.utf8)) }.last { $0["event"]?.string == "done" }
  }
}

/// Where the records went, as the replay reports it.
private struct DemoResult {
  let (input, accepted, duplicate, filtered, quarantined): (Int64, Int64, Int64, Int64, Int64)
  let seconds: String
  private let tables: [String: Int64]

  init(_ done: JSONValue) {
    func count(_ name: String) -> Int64 { done[name]?.int ?? 0 }
    (input, accepted, duplicate, filtered, quarantined) =
      (count("in"), count("accepted"), count("duplicate"), count("filtered"), count("quarantined"))
    seconds = if case .number(let text)? = done["seconds"] { Human.fixed(Double(text) ?? 0, 2) } else { "0" }
    tables = Dictionary(
      (done["tables"]?.array ?? []).map { ($0["table"]?.string ?? "", $0["rows"]?.int ?? 0) }, uniquingKeysWith: { $1 })
  }

  func rows(of table: String) -> Int64 { tables[table] ?? 0 }
}
