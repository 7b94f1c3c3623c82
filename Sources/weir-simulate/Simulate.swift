import ArgumentParser
import Foundation
import WeirSimulation

/// Runs seeds of the simulation of live workers. For developers: it is not shipped.
@main struct Simulate: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "weir-simulate", abstract: "Runs live workers under simulation.")

  @Option(help: "Number of seeds.") var seeds: UInt64 = 1
  @Option(help: "The first seed.") var first: UInt64 = 0
  @Option(help: "Kinds of faults to leave out, with commas; `all` leaves out all.") var without: String = ""
  @Option(help: "A bug to plant, or several with commas; `all` searches for a seed that finds each.") var bug: String?
  @Flag(help: "Name the faults and ways of recovery that are counted.") var listMarks = false
  @Flag(help: "Run the recorded seeds: those that found faults, and for each planted bug one that finds it.") var recorded = false
  @Flag(help: "Reduce the faults of a failing seed.") var reduce = false
  @Flag(help: "Read a source with positions of 128 bits that splits and merges its shards.") var reshards = false
  @Flag(help: "Read a topic that gets more partitions while it is read.") var grows = false
  @Flag(help: "Replay a plain capture.") var replays = false
  @Flag(help: "Repeat the decisions of a live run from a capture of its topic.") var repeats = false
  @Flag(help: "Partition gold tables by their groups, and let an entry have few of those that close.") var parts = false
  @Flag(help: "Strike rarely by chance and often at the moments at which it hurts, with few kinds of faults.") var aimed = false
  @Flag(help: "Print the events of a run.") var verbose = false
  @Flag(help: "Show how often each fault and each way of recovery was met.") var marks = false

  private var mode: LiveSimulation.Mode {
    reshards ? .reshards : grows ? .grows : replays ? .replays : repeats ? .repeats : .live
  }

  /// What many seeds must have met.
  private var wantedMarks: [Mark] {
    switch mode {
    case .replays: Mark.ofReplays
    case .repeats: Mark.ofRepeats
    default: Mark.allCases.filter { !Mark.rare.contains($0) }
    }
  }

  func run() throws {
    if listMarks { return print(wantedMarks.map(\.rawValue).joined(separator: "\n")) }
    if recorded { return try runRecorded() }
    if bug == "all" { return try hunt(PlantedBug.allCases) }
    var planted: PlantedBug?
    if let bug, bug.contains(",") { return try hunt(bug.split(separator: ",").compactMap { PlantedBug(rawValue: String($0)) }) }
    if let bug {
      guard let known = PlantedBug(rawValue: bug) else {
        throw ValidationError("there is no bug \(bug); there are: \(PlantedBug.allCases.map(\.rawValue).joined(separator: " "))")
      }
      planted = known
      if seeds > 1 { return try hunt([known]) }
    }
    let without = Set(self.without.split(separator: ",").map(String.init))
    let isWatching = EscapeWatch.begin()
    var all = Marks()
    var (failed, escaped) = (0, 0)
    var (steps, entries, strikes) = (0, Int64(0), 0)
    let began = Date()
    for seed in first..<first + seeds {
      let result = LiveSimulation.run(
        seed: seed, without: without, bug: planted, mode: mode, parts: parts, aimed: aimed, log: verbose ? { print($0) } : nil)
      all += result.marks
      steps += result.steps
      entries += result.entries
      strikes += result.strikes
      if let violation = result.violation {
        failed += 1
        let faults = reduce ? LiveSimulation.reduce(seed: seed, mode: mode, aimed: aimed) : result.faults
        print("seed \(seed): \(violation)\n  faults: \(faults.joined(separator: ","))\n  to see it: \(command(of: seed))")
      }
      if EscapeWatch.count > escaped {
        failed += 1
        print("seed \(seed): \(EscapeWatch.count - escaped) jobs went to the global executor")
        escaped = EscapeWatch.count
      }
      if seed % 50 == 0 {
        let second = LiveSimulation.run(seed: seed, without: without, bug: planted, mode: mode, parts: parts, aimed: aimed)
        if second.trace != result.trace || second.steps != result.steps {
          failed += 1
          print("seed \(seed): two runs differ: \(result.steps) and \(second.steps) steps")
        }
      }
    }
    let time = Date().timeIntervalSince(began)
    let rate = String(format: "%.1f s, %.1f seeds per second on one core", time, Double(seeds) / max(time, 0.001))
    print("\(seeds) seeds, \(failed) failed; \(steps) steps, \(entries) entries, \(strikes) strikes; \(rate)")
    if marks { for mark in Mark.allCases where all[mark] > 0 { print("  \(mark): \(all[mark])") } }
    if !isWatching {
      failed += 1
      print("this runtime has no hook that shows jobs outside the simulation: whether all ran in it is not known")
    }
    if failed > 0 { throw ExitCode(1) }
  }

  /// Repeats a seed alone, with all its events. (The same seed has the same hashes with this variable only.)
  private func command(of seed: UInt64) -> String {
    let flags = [
      ("--reshards", reshards), ("--grows", grows), ("--replays", replays), ("--repeats", repeats), ("--parts", parts), ("--aimed", aimed),
    ]
    return
      (["SWIFT_DETERMINISTIC_HASHING=1 .build/release/weir-simulate --verbose --first \(seed)"] + flags.filter(\.1).map(\.0)
      + (without.isEmpty ? [] : ["--without \(without)"]) + (bug.map { ["--bug \($0)"] } ?? [])).joined(separator: " ")
  }

  private func runRecorded() throws {
    var failures: [String] = []
    var count = 0
    for (mode, seeds) in LiveSimulation.recorded {
      for seed in seeds {
        count += 1
        if let violation = LiveSimulation.run(seed: seed, mode: mode).violation { failures.append("seed \(seed), \(mode): \(violation)") }
      }
    }
    for bug in PlantedBug.recorded where LiveSimulation.run(seed: bug.recordedSeed, bug: bug).violation == nil {
      // A change of the engine shifts what a seed does.
      if let found = LiveSimulation.find(bug, in: 0..<1000) {
        print("the planted bug \(bug) is found by seed \(found.seed) now: record it instead of \(bug.recordedSeed)")
      } else {
        failures.append("the planted bug \(bug) is no longer found by any of 1,000 seeds")
      }
    }
    for failure in failures { print(failure) }
    print("\(count) recorded seeds, \(PlantedBug.recorded.count) planted bugs: \(failures.count) failed")
    if !failures.isEmpty { throw ExitCode(1) }
  }

  /// Looks for the first seed that finds each bug.
  private func hunt(_ bugs: [PlantedBug]) throws {
    var missed: [PlantedBug] = []
    for bug in bugs {
      let found = LiveSimulation.find(bug, in: first..<first + seeds)
      if found == nil { missed.append(bug) }
      print("\(bug): \(found.map { "seed \($0.seed): \($0.violation.prefix(150))" } ?? "not found in \(seeds) seeds")")
    }
    if !missed.isEmpty { throw ExitCode(1) }
  }
}
