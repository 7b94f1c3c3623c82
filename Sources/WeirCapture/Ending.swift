import Synchronization
import WeirCore
import WeirEngine

/// The end of a run of several tasks: one is enough to ask for it, by wish or by an error.
package final class Ending: Sendable {
  package init() {}

  /// Raised when the end is asked for.
  let asked = Flag()
  private let failure = Mutex<(any Error)?>(nil)

  package var isAsked: Bool { asked.isRaised }

  package func ask() { asked.raise() }

  /// The first error ends the run; those after it are consequences.
  package func guarding(_ body: () async throws -> Void) async {
    do { try await body() } catch {
      failure.withLock { if $0 == nil { $0 = error } }
      ask()
    }
  }

  /// Throws what ended the run, if it was an error.
  package func check() throws { if let failure = failure.withLock({ $0 }) { throw failure } }
}

/// Readers whose loops are to be started.
actor NewReaders {
  private var readers: [any CapturableShard]
  private var isFinished = false
  private var waiter: CheckedContinuation<Void, Never>?

  init(_ readers: [any CapturableShard]) { self.readers = readers }

  func add(_ reader: any CapturableShard) {
    readers.append(reader)
    wake()
  }

  func finish() {
    isFinished = true
    wake()
  }

  /// Waits for the next; nil after ``finish()``.
  func next() async -> (any CapturableShard)? {
    while readers.isEmpty, !isFinished { await withCheckedContinuation { waiter = $0 } }
    return readers.isEmpty || isFinished ? nil : readers.removeFirst()
  }

  private func wake() {
    waiter?.resume()
    waiter = nil
  }
}
