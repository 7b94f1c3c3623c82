import Foundation
import Synchronization
import WeirCore

/// Writes all results of a command. The first write that fails is kept, and nothing is written after it: results with a hole
/// in them are worse than results that end.
final class StandardOutput: Sendable {
  private struct State {
    var error: Int32 = 0
    /// The work matters more than the report of it: a reader that has gone does not end it.
    var outlivesReader = false
    var onFailure: (@Sendable () -> Void)?
    var isTolerated: Bool { error == EPIPE && outlivesReader }
  }

  private let state = Mutex(State())
  /// Returns 0 or the number of the error.
  private let sink: @Sendable (ArraySlice<UInt8>) -> Int32
  private let close: @Sendable () -> Int32

  init(_ sink: @escaping @Sendable (ArraySlice<UInt8>) -> Int32, close: @escaping @Sendable () -> Int32 = { 0 }) {
    self.sink = sink
    self.close = close
  }

  static let system = StandardOutput({ SystemWrite.all($0, to: 1) }, close: SystemWrite.closeStandardOutput)

  func write(_ bytes: ArraySlice<UInt8>) { attempt { $0(bytes) } }

  private func attempt(_ write: (@Sendable (ArraySlice<UInt8>) -> Int32) -> Int32) {
    let told: (@Sendable () -> Void)? = state.withLock { state in
      guard state.error == 0 else { return nil }
      state.error = write(sink)
      return state.error == 0 || state.isTolerated ? nil : state.onFailure
    }
    told?()
  }

  /// - Parameter stop: called once, when a write has failed for another reason than a reader that has gone.
  func outliveReader(_ stop: @escaping @Sendable () -> Void) {
    let hasFailed = state.withLock { state in
      (state.outlivesReader, state.onFailure) = (true, stop)
      return state.error != 0 && !state.isTolerated
    }
    if hasFailed { stop() }
  }

  /// - Throws: `output` after a write has failed: the command has nothing more to do.
  func check() throws(WeirError) {
    let error = state.withLock { $0.isTolerated ? 0 : $0.error }
    if error != 0 { throw StandardOutput.failure(error) }
  }

  /// Ends the output.
  /// - Returns: why results were lost, and whether that is worth a word; nil: they were not.
  func finish() -> (failure: WeirError, isReaderGone: Bool)? {
    // Some file systems report a full disk only when a file is closed.
    attempt { _ in close() }
    let (error, isTolerated) = state.withLock { ($0.error, $0.isTolerated) }
    return error == 0 || isTolerated ? nil : (StandardOutput.failure(error), error == EPIPE)
  }

  private static func failure(_ error: Int32) -> WeirError {
    WeirError(
      .output, "cannot write to standard output: \(String(cString: strerror(error)))",
      advice: "What was written is incomplete. Free space, or send it elsewhere, and run the command again.")
  }
}

/// Writes messages. A standard error that is full, closed, or read by nobody neither ends nor holds up the command.
final class StandardError: Sendable {
  /// How long a message waits for a reader that is slow; after that messages are left out until it reads again.
  private static let waitMilliseconds: Int32 = 1_000
  /// A pipe that poll(2) calls writable takes as many bytes at once (PIPE_BUF).
  private static let chunkBytes = 4096

  private struct State {
    var leftOut = 0
  }

  private let state = Mutex(State())
  private let descriptor: Int32

  init(descriptor: Int32) { self.descriptor = descriptor }

  static let system = StandardError(descriptor: 2)

  func write(_ bytes: ArraySlice<UInt8>) {
    state.withLock { state in
      guard canWrite(waiting: state.leftOut == 0 ? StandardError.waitMilliseconds : 0) else { return state.leftOut += 1 }
      if state.leftOut > 0 {
        let words = "\nweir: \(state.leftOut) messages were left out: standard error was not read\n"
        state.leftOut = 0
        _ = send(Array(words.utf8)[...])
      }
      if !send(bytes) { state.leftOut += 1 }
    }
  }

  /// False: its reader is stuck. An error counts as written: nobody can be told.
  private func send(_ bytes: ArraySlice<UInt8>) -> Bool {
    var rest = bytes
    while !rest.isEmpty {
      guard canWrite(waiting: StandardError.waitMilliseconds) else { return false }
      let count = rest.prefix(StandardError.chunkBytes).withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN { return false }
      guard count > 0 else { return true }
      rest = rest.dropFirst(count)
    }
    return true
  }

  private func canWrite(waiting milliseconds: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    // What poll(2) itself reports as wrong is found by the write.
    return poll(&entry, 1, milliseconds) != 0
  }
}

/// write(2) until everything is written.
package enum SystemWrite {
  /// - Returns: 0 or the number of the error.
  package static func all(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Int32 {
    var rest = bytes
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
        continue
      }
      switch errno {
      case EINTR where count < 0: continue
      case EAGAIN where count < 0:
        // Whoever shares the descriptor has made it non-blocking.
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&entry, 1, -1)
      default: return count < 0 ? errno : EIO
      }
    }
    return 0
  }

  /// Closes a duplicate: the descriptor itself stays, so that no other file gets its number.
  @Sendable static func closeStandardOutput() -> Int32 {
    let copy = dup(1)
    // A descriptor that was never written to may be closed.
    guard copy >= 0 else { return 0 }
    return Foundation.close(copy) == 0 || errno == EINTR ? 0 : errno
  }
}

/// To be called before anything is written. Closed descriptors are taken by CWeirSystem, earlier than any Swift runs.
package enum StandardStreams {
  /// A write to a pipe that nobody reads, or beyond the size that a file may have (`ulimit -f`), is an error of that write, never the
  /// end of the process in the middle of a commit.
  package static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
  }
}
