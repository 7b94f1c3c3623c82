import CWeirSystem
import Foundation
import Synchronization
import WeirCore
import WeirEngine
import WeirLMDB
import WeirLocal
import WeirOperators
import WeirProtocol

/// Where a pipeline's tables lie: from the file, or as the command line says.
public struct Places: Sendable {
  public var lake: String
  public var store: String

  /// - Throws: `config` where an option is no path of this machine.
  public init(_ pipeline: LoadedPipeline, lake: String?, store: String?) throws {
    self.lake =
      try lake.map { text in Paths.normal(try PathText.checked(text, "--lake")) }
      ?? Paths.resolve(pipeline.plan.lake.path, in: pipeline.directory)
    self.store =
      try store.map { text in Paths.normal(try PathText.checked(text, "--store")) }
      ?? Paths.resolve(pipeline.plan.store.path, in: pipeline.directory)
  }
}

/// The real environment of a worker: threads, clock, directory, LMDB.
struct Wiring {
  let threads: BlockingThreads
  let stateThread: BlockingThreads
  let lake: any ObjectStore
  let state: LMDBStateTable?
  /// The state table's directory.
  let store: String
  let random = SystemRandom()
  let clock = SystemClock()
  let memory: MemoryBudget

  /// - Parameters:
  ///   - withState: opens (and makes) the state table.
  ///   - worker: the plan's; of it the memory.
  init(_ places: Places, withState: Bool, worker: WorkerSpec? = nil) throws {
    memory = MemoryBudget(configured: worker?.memoryBytes, available: MachineMemory.available())
    if let bytes = memory.returnsFrom { weir_return_memory(Int32(bytes)) }
    // One more than there are cores, since one mostly waits for the disk. They give way to lanes and flushes: that keeps the
    // state table fresh while a large epoch is encoded.
    threads = BlockingThreads(count: ProcessInfo.processInfo.activeProcessorCount + 1, niceness: 10)
    stateThread = BlockingThreads(count: 1)
    store = places.store
    lake = AdapterRegistry.standard.lake(places.lake, threads: threads, random: random)
    state = withState ? try LMDBStateTable(path: places.store, pagesMax: memory.statePagesMax, thread: stateThread) : nil
  }

  func environment(sinks: SinkEnvironment? = nil, registry: RegistryEnvironment? = nil) -> EngineEnvironment {
    EngineEnvironment(
      lake: lake, tables: AdapterRegistry.standard.tables, state: state, clock: clock, random: random, threads: threads,
      parallel: ProcessInfo.processInfo.activeProcessorCount + 1, sinks: sinks, registry: registry,
      memory: memory, processMemory: MachineMemory.process)
  }
}

/// SIGINT, SIGTERM and SIGHUP ask for an orderly end: stop behind the next commit. A second signal stops at once, which is safe too.
final class Interrupt: Sendable {
  private let asked = Atomic<Int32>(0)
  private struct Kept: @unchecked Sendable {
    // Unchecked: only held, so that it is not freed.
    let source: any DispatchSourceSignal
  }
  private let sources = Mutex<[Kept]>([])

  /// Raised when the end is asked for.
  let stop = Flag()

  var isAsked: Bool { asked.load(ordering: .acquiring) != 0 }

  /// As a shell reports an end by a signal: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM.
  var exitCode: Int32 { 128 + asked.load(ordering: .acquiring) }

  /// - Parameter told: called once, at the first signal.
  func listen(told: @escaping @Sendable () -> Void) {
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // Under nohup a hang-up is ignored, and stays so.
      if number == SIGHUP, Interrupt.isIgnored(number) { continue }
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { [self] in
        // At once: what runs at an ordinary exit could wait for a thread that is stuck.
        if !ask(number) { _exit(128 + number) }
        told()
      }
      source.resume()
      let kept = Kept(source: source)
      sources.withLock { $0.append(kept) }
    }
  }

  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    guard sigaction(number, nil, &action) == 0 else { return false }
    return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  func listen(
    _ console: Console,
    saying words: String = "stopping after the next commit; press again to stop at once (nothing that was committed is lost)"
  ) {
    listen { console.talk(words) }
    console.outliveReader { [self] in _ = ask(SIGTERM) }
  }

  /// Asks as the signal would.
  /// - Returns: false if it was asked before.
  @discardableResult
  func ask(_ number: Int32) -> Bool {
    let isFirst = asked.compareExchange(expected: 0, desired: number, ordering: .acquiringAndReleasing).exchanged
    if isFirst { stop.raise() }
    return isFirst
  }

  /// Runs, on a thread of its own, work that may have to wait for ever (a pipe whose writer pauses).
  /// - Returns: nil if it was asked to end meanwhile; the work is left to itself, and ends with the process.
  func unlessAsked<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T? {
    try await withCheckedThrowingContinuation { continuation in
      let first = First(continuation)
      stop.whenRaised { first.end(.success(nil)) }
      BlockingThreads.spawn(name: "weir-waiting") { first.end(Result { try work() }) }
    }
  }

  /// Of several ends the first counts.
  private final class First<T: Sendable>: Sendable {
    private let waiter: Mutex<CheckedContinuation<T?, any Error>?>

    init(_ waiter: CheckedContinuation<T?, any Error>) { self.waiter = Mutex(waiter) }

    func end(_ result: Result<T?, any Error>) {
      let waiter = waiter.withLock { waiter in
        defer { waiter = nil }
        return waiter
      }
      waiter?.resume(with: result)
    }
  }

  /// Ends the process when it has not ended by itself by then.
  func end(within microseconds: Int64, saying words: @escaping @Sendable () -> Void) {
    DispatchQueue.global().asyncAfter(deadline: .now() + .microseconds(Int(microseconds))) { [self] in
      words()
      _exit(exitCode)
    }
  }
}
