import Synchronization
import Testing
import WeirCore

@testable import WeirLocal

/// Captures in stores that answer late: read ahead, in order, within bounds.
@Suite struct CaptureAheadTests {
  /// A store in memory. Answers come from threads of its own, in an order of its own, or never before the next request.
  private final class Store: CaptureStore, CaptureAhead.Fetching {
    let objects: [(name: String, bytes: [UInt8])]
    let bounds: CaptureAhead.Bounds
    let broken: String?
    private let threads = BlockingThreads(count: 3)
    private let state = Mutex((underWay: 0, most: 0, bytes: 0, mostBytes: 0, requests: 0))

    init(_ objects: [(name: String, bytes: [UInt8])], _ bounds: CaptureAhead.Bounds, broken: String? = nil) {
      (self.objects, self.bounds, self.broken) = (objects, bounds, broken)
    }

    deinit { threads.stop() }

    var seen: (most: Int, mostBytes: Int, requests: Int) { state.withLock { ($0.most, $0.mostBytes, $0.requests) } }

    func files(of name: String) throws(WeirError) -> [CaptureItem] {
      objects.map { CaptureItem(name: $0.name, bytes: Int64($0.bytes.count), version: "v") }
    }

    func reading(_ files: [CaptureItem], isPeek: Bool) -> any CaptureReading { CaptureAhead(files, bounds: bounds, from: self) }

    func fetch(_ file: CaptureItem, _ range: Range<Int64>, _ done: @escaping @Sendable (Result<[UInt8], WeirError>) -> Void) {
      state.withLock {
        $0.requests += 1
        $0.underWay += 1
        $0.bytes += range.count
        ($0.most, $0.mostBytes) = (max($0.most, $0.underWay), max($0.mostBytes, $0.bytes))
      }
      threads.submit { [self] in
        let bytes = objects.first { $0.name == file.name }?.bytes ?? []
        state.withLock {
          $0.underWay -= 1
          $0.bytes -= range.count
        }
        if file.name == broken {
          done(.failure(.captureChanged(file.name, "it was overwritten")))
        } else {
          done(.success(Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)])))
        }
      }
    }

    func recheck(_ files: [CaptureItem]) throws(WeirError) -> [String] { [] }
  }

  /// Some objects, small and large, empty ones too; every second one without a last line end.
  private static func objects() -> [(name: String, bytes: [UInt8])] {
    (0..<60).map { n in
      let lines = n % 7 == 3 ? 0 : n % 11 == 5 ? 400 : n % 5 + 1
      let text = (0..<lines).map { "{\"n\":\(n * 1000 + $0)}" }.joined(separator: "\n")
      return ("k/\(n)", Array((n % 2 == 0 || lines == 0 ? text : text + "\n").utf8))
    }
  }

  private func read(_ source: CaptureSource) async throws -> (bytes: [UInt8], cuts: [Int64: Hash128]) {
    var (bytes, cuts): ([UInt8], [Int64: Hash128]) = ([], [:])
    loop: while true {
      switch try await source.next() {
      case .block(let block, _): withExtendedLifetime(block) { bytes += UnsafeBufferPointer(start: block.text.base, count: block.count) }
      case .cut(let position, let hash): cuts[position] = hash
      case .end: break loop
      default: Issue.record("a capture says nothing of a live shard")
      }
    }
    await source.close()
    return (bytes, cuts)
  }

  @Test(arguments: [(1, 1, 7), (100, 3, 64), (4096, 16, 1 << 20), (1 << 20, 32, 1000)])
  func objectsHaveTheBytesAndHashesOfFiles(bytes: Int, pieces: Int, pieceBytes: Int) async throws {
    let objects = CaptureAheadTests.objects()
    let home = try CaptureFiles()
    let paths = try objects.enumerated().map { try home.make("\($0)", $1.bytes) }
    let store = Store(objects, .init(bytes: bytes, pieces: pieces, pieceBytes: pieceBytes))
    let files = try CaptureSource.check(["k"], in: store)
    let remote = try await read(CaptureSource(files: files, in: store, cutBytes: 3000, blockBytes: 500))
    let local = try await read(CaptureSource(files: paths, cutBytes: 3000, blockBytes: 500))
    #expect(remote.bytes == local.bytes && remote.bytes == objects.flatMap(\.bytes))
    #expect(remote.cuts == local.cuts && remote.cuts.count > 2)
    #expect(store.seen.most <= pieces && store.seen.mostBytes <= max(bytes, pieceBytes))
    for (position, hash) in remote.cuts.sorted(by: { $0.key < $1.key }) {
      let rest = try await read(
        CaptureSource(files: files, in: store, startAt: position, expectedPrefix: hash, cutBytes: 3000, blockBytes: 500))
      #expect(rest.bytes == Array(local.bytes.dropFirst(Int(position))))
    }
  }

  @Test func anObjectThatChangedEndsTheReadingWhereItIs() async throws {
    let objects = CaptureAheadTests.objects()
    let store = Store(objects, .init(bytes: 4096, pieces: 8, pieceBytes: 512), broken: "k/40")
    let source = CaptureSource(files: try store.files(of: "k"), in: store, cutBytes: 1 << 20, blockBytes: 100)
    let error = await #expect(throws: WeirError.self) { _ = try await read(source) }
    #expect(error?.code == .captureChanged && error?.message.contains("k/40") == true)
    await source.close()
  }

  @Test func aLookAtTheFirstObjectRefusesAnotherFormat() throws {
    let store = Store([("k/a", Array("PAR1".utf8) + [UInt8](repeating: 0, count: 600)), ("k/b", [])], .peek)
    let error = #expect(throws: WeirError.self) { try CaptureSource.check(["k"], in: store) }
    #expect(error?.code == .captureFormat && error?.message.contains("k/a") == true)
    #expect(store.seen.requests == 1)
  }

  @Test func aPlanKeepsItsBoundsAndLeavesNothingOut() {
    let sizes: [Int64] = [0, 10, 0, 25, 3, 0]
    var plan = AheadPlan(sizes, from: 0, .init(bytes: 12, pieces: 2, pieceBytes: 10))
    var (open, all): ([AheadPlan.Piece], [AheadPlan.Piece]) = ([], [])
    while true {
      while let piece = plan.next() { open.append(piece) }
      #expect(open.count <= 2 && (open.count == 1 || open.reduce(0) { $0 + $1.bytes } <= 12))
      guard !open.isEmpty else { break }
      all.append(open.removeFirst())
      plan.release(all[all.count - 1])
    }
    #expect(all.map(\.file) == [1, 3, 3, 3, 4])
    #expect(all.map(\.range) == [0..<10, 0..<10, 10..<20, 20..<25, 0..<3])
  }
}
