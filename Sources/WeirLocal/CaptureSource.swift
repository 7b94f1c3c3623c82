import Glibc
import Synchronization
import WeirCore

/// A plain capture as a source: ``CaptureReader`` on a thread of its own, a few events ahead of the engine.
package final class CaptureSource: RecordSource {
  /// Events read ahead at most.
  private static let aheadMax = 4

  private struct Queue {
    var events: [Result<SourceEvent, any Error>] = []
    var waiter: CheckedContinuation<Result<SourceEvent, any Error>, Never>?
    var reader: CaptureReader?
    var isReading = false
    var isClosed = false
    var position: Int64 = 0
    var fileBytes: Int64 = 0
  }

  private struct Guarded: @unchecked Sendable {
    // Unchecked: the reader is taken out of the queue by the one job that uses it, and put back.
    var queue = Queue()
  }

  private let state: Mutex<Guarded>
  private let thread = BlockingThreads(count: 1)
  /// Bytes of all files as they are on disk; nil with standard input.
  package let totalFileBytes: Int64?

  /// Large enough that what a block costs once is nothing compared with its records, small enough for the caches.
  package static let blockBytes = 1 << 20
  /// What a record takes once it is decoded does not depend on its length: so short ones come in blocks of this many at most.
  package static let blockRows = 1 << 14
  /// A longer record is refused.
  package static let recordBytes = 64 << 20

  /// - Parameters:
  ///   - files: read in this order as one sequence of bytes, as ``check(_:in:)`` found them.
  ///   - store: has the files.
  ///   - startAt: the uncompressed byte to begin at; the bytes before are read and compared with `expectedPrefix`.
  ///   - cutBytes: a cut is after the first record that ends at or after a multiple of this.
  ///   - recordBytes: a longer record is refused with its position, before more of it is read.
  ///   - keepOpen: the files may grow: a last line without a line end is left for a later run.
  ///   - fileEnds: what the end of a file means.
  ///   - framing: where records are; nil: each is a line.
  ///   - content: what the files hold.
  ///   - tell: called with notices about files that changed while they were read.
  package init(
    files: [CaptureItem], in store: any CaptureStore, startAt: Int64 = 0, expectedPrefix: Hash128? = nil, cutBytes: Int64,
    blockBytes: Int = CaptureSource.blockBytes, blockRows: Int = CaptureSource.blockRows, recordBytes: Int = CaptureSource.recordBytes,
    keepOpen: Bool = false, fileEnds: FileEnds = .record, framing: (any CaptureFraming)? = nil, content: CaptureContent = .jsonLines,
    tell: @escaping @Sendable (Wording) -> Void = { _ in }
  ) {
    totalFileBytes = files.contains { $0.bytes == nil } ? nil : files.reduce(0) { $0.saturatingSum($1.bytes ?? 0) }
    var guarded = Guarded()
    guarded.queue.reader = CaptureReader(
      .init(
        store: store, files: files, startAt: startAt, expectedPrefix: expectedPrefix, cutBytes: max(1, cutBytes),
        blockBytes: max(1, blockBytes),
        blockRows: max(1, blockRows), recordBytes: max(1, recordBytes), keepOpen: keepOpen, fileEnds: fileEnds, framing: framing,
        content: content, tell: tell))
    state = Mutex(guarded)
  }

  /// Files of this machine; `-` is standard input.
  /// - Parameters: as of the other one.
  /// - Throws: a `WeirError` naming the file that is not there.
  package convenience init(
    files: [String], startAt: Int64 = 0, expectedPrefix: Hash128? = nil, cutBytes: Int64, blockBytes: Int = CaptureSource.blockBytes,
    blockRows: Int = CaptureSource.blockRows, recordBytes: Int = CaptureSource.recordBytes, keepOpen: Bool = false,
    fileEnds: FileEnds = .record, framing: (any CaptureFraming)? = nil, content: CaptureContent = .jsonLines,
    tell: @escaping @Sendable (Wording) -> Void = { _ in }
  ) throws {
    let store = LocalCaptureStore()
    self.init(
      files: try files.flatMap { file in try store.files(of: file) }, in: store, startAt: startAt, expectedPrefix: expectedPrefix,
      cutBytes: cutBytes, blockBytes: blockBytes, blockRows: blockRows, recordBytes: recordBytes, keepOpen: keepOpen, fileEnds: fileEnds,
      framing: framing, content: content, tell: tell)
  }

  /// Looks at the first bytes of the first file of each argument; pipes are left alone. Other files are looked at when they are reached.
  /// - Parameters:
  ///   - names: arguments of `--capture`.
  ///   - content: what the files must hold.
  /// - Returns: the files with their sizes. A run takes them from here: a file that is truncated before it is opened the next time would
  ///   pass for a shorter one.
  /// - Throws: `capture_format` for a file of another format; `config` for one that cannot be read; `capture_changed`.
  @discardableResult
  package static func check(
    _ names: [String], in store: any CaptureStore = LocalCaptureStore(), content: CaptureContent = .jsonLines
  ) throws(WeirError) -> [CaptureItem] {
    var files: [CaptureItem] = []
    for name in names {
      let found = try store.files(of: name)
      if let first = found.first, first.bytes != nil { _ = try CaptureBytes(try store.reading([first], isPeek: true).open(0), content) }
      files += found
    }
    return files
  }

  /// The first bytes of the files as one sequence, uncompressed; fewer if it is shorter. Pipes can be read from their
  /// beginning afterwards.
  package static func firstBytes(
    of files: [CaptureItem], in store: any CaptureStore = LocalCaptureStore(), content: CaptureContent = .jsonLines, count: Int
  ) throws(WeirError) -> [UInt8] {
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
    defer { buffer.deallocate() }
    let reading = store.reading(files, isPeek: true)
    var done = 0
    for number in files.indices where done < count {
      let source = try CaptureBytes(try reading.open(number), content)
      while done < count {
        let n = try source.read(into: buffer + done, count: count - done)
        if n == 0 { break }
        done += n
      }
    }
    return Array(UnsafeBufferPointer(start: buffer, count: done))
  }

  /// Uncompressed bytes handed out, and bytes read from the files.
  package var progress: (position: Int64, fileBytes: Int64) { state.withLock { ($0.queue.position, $0.queue.fileBytes) } }

  package func next() async throws -> SourceEvent {
    let result = await withCheckedContinuation { continuation in
      let ready: Result<SourceEvent, any Error>? = state.withLock { guarded in
        if guarded.queue.isClosed { return .failure(CaptureSource.closed) }
        if guarded.queue.events.isEmpty {
          guarded.queue.waiter = continuation
          return nil
        }
        return guarded.queue.events.removeFirst()
      }
      if let ready { continuation.resume(returning: ready) }
      readAhead()
    }
    return try result.get()
  }

  /// Starts the reader's job unless it is at work or far enough ahead.
  private func readAhead() {
    let starts = state.withLock { guarded in
      guard !guarded.queue.isReading, !guarded.queue.isClosed, guarded.queue.reader != nil,
        guarded.queue.events.count < CaptureSource.aheadMax
      else { return false }
      guarded.queue.isReading = true
      return true
    }
    if starts { thread.submit { self.readUntilAhead() } }
  }

  private func readUntilAhead() {
    while true {
      let taken: Guarded? = state.withLock { guarded in
        guard !guarded.queue.isClosed, guarded.queue.events.count < CaptureSource.aheadMax, guarded.queue.reader != nil else {
          guarded.queue.isReading = false
          return nil
        }
        return guarded
      }
      guard let reader = taken?.queue.reader else { return }
      var isLast = false
      var event: Result<SourceEvent, any Error>
      do {
        let next = try reader.next()
        if case .end = next { isLast = true }
        event = .success(next)
      } catch {
        isLast = true
        event = .failure(error)
      }
      let waiter: CheckedContinuation<Result<SourceEvent, any Error>, Never>? = state.withLock { guarded in
        guarded.queue.position = reader.position
        guarded.queue.fileBytes = reader.fileBytesRead
        if isLast { guarded.queue.reader = nil }
        if let waiter = guarded.queue.waiter {
          guarded.queue.waiter = nil
          return waiter
        }
        guarded.queue.events.append(event)
        return nil
      }
      waiter?.resume(returning: event)
    }
  }

  /// Ends a wait for the next event too: a pipe may stay open, and give nothing, for ever.
  package func close() async {
    let waiter = state.withLock { guarded in
      defer { guarded.queue.waiter = nil }
      guarded.queue.isClosed = true
      return guarded.queue.waiter
    }
    waiter?.resume(returning: .failure(CaptureSource.closed))
    thread.stop()
  }

  private static let closed = WeirError(.closed, "the capture was closed while it was read")
}
