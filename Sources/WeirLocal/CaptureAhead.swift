import Dispatch
import Synchronization
import WeirCore

/// Which ranges of which files are fetched next, ahead of the reader. Pure.
struct AheadPlan {
  struct Piece: Equatable {
    var file: Int
    var range: Range<Int64>
    var bytes: Int { Int(range.upperBound - range.lowerBound) }
  }

  private let sizes: [Int64]
  private let bounds: CaptureAhead.Bounds
  private var file: Int
  private var offset: Int64 = 0
  /// Asked for and not used up.
  private var pieces = 0
  private var bytes = 0

  init(_ sizes: [Int64], from first: Int, _ bounds: CaptureAhead.Bounds) { (self.sizes, file, self.bounds) = (sizes, first, bounds) }

  /// The next piece, if a bound leaves room for it; one is always under way.
  mutating func next() -> Piece? {
    while file < sizes.count, offset >= sizes[file] { (file, offset) = (file + 1, 0) }
    guard file < sizes.count else { return nil }
    let piece = Piece(file: file, range: offset..<min(sizes[file], offset + Int64(bounds.pieceBytes)))
    guard pieces == 0 || pieces < bounds.pieces && bytes + piece.bytes <= bounds.bytes else { return nil }
    offset = piece.range.upperBound
    pieces += 1
    bytes += piece.bytes
    return piece
  }

  /// A piece was used up.
  mutating func release(_ piece: Piece) {
    pieces -= 1
    bytes -= piece.bytes
  }
}

/// Reads the files of a store that answers late: several ranges at once, in order, in bounded memory.
package final class CaptureAhead: CaptureReading {
  package struct Bounds: Sendable {
    /// `capture_ahead_bytes`: fetched and not yet read; `capture_ahead_requests`: pieces of them.
    package var bytes: Int
    package var pieces: Int
    /// Of one request.
    package var pieceBytes: Int

    package init(bytes: Int = 32 << 20, pieces: Int = 32, pieceBytes: Int = 4 << 20) {
      (self.bytes, self.pieces, self.pieceBytes) = (bytes, pieces, pieceBytes)
    }

    /// For a look at the first bytes.
    package static let peek = Bounds(bytes: 2 << 20, pieces: 16, pieceBytes: 1 << 20)
  }

  /// A store that can be asked for ranges.
  package protocol Fetching: Sendable {
    /// Calls `done`, from any thread, with exactly the bytes of the range, or with an error.
    func fetch(_ file: CaptureItem, _ range: Range<Int64>, _ done: @escaping @Sendable (Result<[UInt8], WeirError>) -> Void)
    /// See ``CaptureReading/recheck()``.
    func recheck(_ files: [CaptureItem]) throws(WeirError) -> [String]
  }

  private final class Answer: Sendable {
    let result = Mutex<Result<[UInt8], WeirError>?>(nil)
    let isThere = DispatchSemaphore(value: 0)
  }

  private let files: [CaptureItem]
  private let bounds: Bounds
  private let store: any Fetching
  private var plan: AheadPlan?
  private var asked: [(piece: AheadPlan.Piece, answer: Answer)] = []

  package init(_ files: [CaptureItem], bounds: Bounds = Bounds(), from store: any Fetching) {
    (self.files, self.bounds, self.store) = (files, bounds, store)
  }

  package func open(_ number: Int) throws(WeirError) -> any CaptureFileBytes { File(number, of: self) }
  package func endFile() {}
  package func recheck() throws(WeirError) -> [String] { try store.recheck(files) }

  /// The next bytes of a file; nil at its end.
  private func next(of file: Int) throws(WeirError) -> [UInt8]? {
    if plan == nil { plan = AheadPlan(files.map { $0.bytes ?? 0 }, from: file, bounds) }
    ask()
    guard let first = asked.first, first.piece.file == file else { return nil }
    asked.removeFirst()
    first.answer.isThere.wait()
    guard let result = first.answer.result.withLock({ $0 }) else {
      throw WeirError(.internal, "bytes of the capture were signalled and are not there")
    }
    plan?.release(first.piece)
    return try result.get()
  }

  private func ask() {
    while let piece = plan?.next() {
      let answer = Answer()
      asked.append((piece, answer))
      store.fetch(files[piece.file], piece.range) { result in
        answer.result.withLock { $0 = result }
        answer.isThere.signal()
      }
    }
  }

  private final class File: CaptureFileBytes {
    private let number: Int
    private let reading: CaptureAhead
    private var piece: [UInt8] = []
    private var at = 0
    private(set) var bytesRead: Int64 = 0
    var name: String { reading.files[number].name }

    init(_ number: Int, of reading: CaptureAhead) { (self.number, self.reading) = (number, reading) }

    func read(into target: UnsafeMutablePointer<UInt8>, count: Int) throws(WeirError) -> Int {
      if at == piece.count {
        (piece, at) = ([], 0)
        guard let next = try reading.next(of: number) else { return 0 }
        piece = next
      }
      let n = min(count, piece.count - at)
      piece.withUnsafeBufferPointer { if let base = $0.baseAddress { target.update(from: base + at, count: n) } }
      at += n
      bytesRead += Int64(n)
      return n
    }
  }
}
