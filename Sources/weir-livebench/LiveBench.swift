import Glibc
import Synchronization
import WeirConfiguration
import WeirCore
import WeirDelta
import WeirEngine
import WeirLocal
import WeirOperators

/// `weir-livebench --pipeline FILE --events FILE --lake DIR [--shards N]`
///
/// A live worker on shards whose records lie ready in memory, through the ledger and the tables, until all records are committed. Prints
/// one JSON object. Not shipped; `Scripts/bench live` runs it.
@main
struct LiveBench {
  /// As a Kafka partition's reader makes them.
  static let blockBytes = 256 << 10

  static func main() async throws {
    var options: [String: String] = [:]
    var words = CommandLine.arguments.dropFirst()
    while let name = words.popFirst(), let value = words.popFirst() { options[name] = value }
    guard let file = options["--pipeline"], let events = options["--events"], let lake = options["--lake"] else {
      print("usage: weir-livebench --pipeline FILE --events FILE --lake DIR [--shards N]")
      exit(2)
    }
    let shards = Int(options["--shards"] ?? "") ?? 1
    let pipeline = try loadPipeline(file: file, sections: .standard)
    let blocks = try blocks(of: events)
    let records = Int64(shards * blocks.reduce(0) { $0 + $1.recordCount })
    let clock = SystemClock()
    let threads = BlockingThreads(count: 2)
    let environment = EngineEnvironment(
      lake: LocalObjectStore(root: lake, threads: threads, random: SystemRandom()), tables: DeltaFormat(), state: nil, clock: clock,
      random: SystemRandom(),
      threads: threads, parallel: 2)
    let request = try LedgerRequest(
      meaning: .string("bench"), planHash: "bench", lanes: nil, runID: nil, describeChange: { _, _ in [] })
    let stop = Flag()
    let began = Mutex<(wall: Int64, cpu: Double)>((0, 0))
    let ended = Mutex<(wall: Int64, cpu: Double)>((0, 0))
    let worker = Worker(
      CompiledPlan(pipeline.plan, lookups: pipeline.lookups), environment: environment, request: request,
      input: .group { ReadyGroup(shards: shards, blocks: blocks) },
      observe: { event in
        switch event {
        case .assigned: began.withLock { $0 = (clock.monotonicNanoseconds, cpuSeconds()) }
        case .committed(let progress) where progress.records == records && !stop.isRaised:
          ended.withLock { $0 = (clock.monotonicNanoseconds, cpuSeconds()) }
          stop.raise()
        case .trouble(let error): fail("\(error)")
        default: break
        }
      }, stop: stop)
    _ = try await worker.run()
    let (first, last) = (began.withLock { $0 }, ended.withLock { $0 })
    let seconds = Double(last.wall - first.wall) / 1e9
    print(
      "{\"records\": \(records), \"seconds\": \(seconds), \"records_per_second\": \(Double(records) / seconds), \"cpu_seconds_per_million\": \((last.cpu - first.cpu) / Double(records) * 1e6)}"
    )
  }

  private static func cpuSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// Blocks of whole lines.
  private static func blocks(of file: String) throws -> [RawBlock] {
    guard let f = fopen(file, "rb") else { fail("\(file) cannot be read") }
    defer { fclose(f) }
    var (blocks, carry): ([RawBlock], [UInt8]) = ([], [])
    while true {
      let text = TextBuffer(bytes: blockBytes)
      carry.withUnsafeBufferPointer { if let base = $0.baseAddress { text.base.update(from: base, count: $0.count) } }
      let count = carry.count + fread(text.base + carry.count, 1, blockBytes - carry.count, f)
      var (offset, length): ([UInt32], [UInt32]) = ([], [])
      var start = 0
      for i in 0..<count where text.base[i] == 0x0A {
        offset.append(UInt32(start))
        length.append(UInt32(i - start))
        start = i + 1
      }
      if offset.isEmpty { return blocks }
      carry = Array(UnsafeBufferPointer(start: text.base + start, count: count - start))
      blocks.append(RawBlock(text: text, count: start, framing: .spans(offset: offset, length: length), position: 0))
    }
  }

  private static func fail(_ words: String) -> Never {
    _ = (words + "\n").withCString { write(2, $0, strlen($0)) }
    exit(1)
  }
}
