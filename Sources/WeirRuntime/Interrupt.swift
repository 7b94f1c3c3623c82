import Foundation
import Synchronization
import WeirCore
import WeirEngine
import WeirReport

/// SIGINT, SIGTERM, SIGHUP and SIGQUIT ask for an orderly end: stop after the next commit. A second signal stops at once, which is safe too.
/// One that comes with the first is the same request: `timeout` signals a process and then its group.
package final class Interrupt: Sendable {
  private static let sameNanoseconds: UInt64 = 200_000_000
  private let asked = Atomic<Int32>(0)
  /// Of this boot, nanoseconds.
  private let askedAt = Atomic<UInt64>(0)
  private struct Kept: @unchecked Sendable {
    // Unchecked: only held, so that it is not freed.
    let source: any DispatchSourceSignal
  }
  private let sources = Mutex<[Kept]>([])

  /// Raised when the end is asked for.
  package let stop = Flag()

  package init() {}

  package var isAsked: Bool { asked.load(ordering: .acquiring) != 0 }

  /// As a shell reports an end by a signal: 129 for SIGHUP, 130 for SIGINT, 131 for SIGQUIT, 143 for SIGTERM.
  package var exitCode: Int32 { 128 + asked.load(ordering: .acquiring) }

  /// - Parameter told: called once, at the first signal.
  package func listen(told: @escaping @Sendable () -> Void) {
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
      // Under nohup a hang-up is ignored, and stays so.
      if number == SIGHUP, Interrupt.isIgnored(number) { continue }
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { [self] in
        // At once: what runs at an ordinary exit could wait for a thread that is stuck.
        guard ask(number) else {
          if isSecond { _exit(128 + number) }
          return
        }
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

  package func listen(
    _ console: Console,
    saying words: String = "stopping after the next commit; press again to stop at once (nothing that was committed is lost)"
  ) {
    listen { console.talk(words) }
    console.outliveReader { [self] in _ = ask(SIGTERM) }
  }

  /// Asks as the signal would.
  /// - Returns: false if it was asked before.
  @discardableResult
  package func ask(_ number: Int32) -> Bool {
    let isFirst = asked.compareExchange(expected: 0, desired: number, ordering: .acquiringAndReleasing).exchanged
    if isFirst {
      askedAt.store(DispatchTime.now().uptimeNanoseconds, ordering: .releasing)
      stop.raise()
    }
    return isFirst
  }

  private var isSecond: Bool {
    let first = askedAt.load(ordering: .acquiring)
    return first > 0 && DispatchTime.now().uptimeNanoseconds - first >= Interrupt.sameNanoseconds
  }

  /// Runs, on a thread of its own, work that may have to wait for ever (a pipe whose writer pauses).
  /// - Returns: nil if it was asked to end meanwhile; the work is left to itself, and ends with the process.
  package func unlessAsked<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T? {
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
  package func end(within microseconds: Int64, saying words: @escaping @Sendable () -> Void) {
    DispatchQueue.global().asyncAfter(deadline: .now() + .microseconds(Int(microseconds))) { [self] in
      words()
      _exit(exitCode)
    }
  }
}
