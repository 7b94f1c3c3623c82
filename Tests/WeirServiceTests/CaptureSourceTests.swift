import Foundation
import Synchronization
import Testing
import WeirCore
import WeirEngine
import WeirLocal
import WeirTesting

@testable import WeirCapture

/// `weir capture` needs nothing of one kind of source: what it reads is a `CapturableSource`.
@Suite(.timeLimit(.minutes(5))) struct CaptureSourceTests {
  /// Its shards hold what the test says, and forget records before they were read.
  fileprivate final class Source: CapturableSource {
    struct Shard {
      var low: Int64
      var values: [String]
      var high: Int64 { low + Int64(values.count) }
    }
    let streams = ["orders"]
    let all: Mutex<[String: Shard]>
    private let isClosed = Flags()

    final class Flags: Sendable {
      let bell = Bell()
      let isRaised = Mutex(false)
      func raise() {
        isRaised.withLock { $0 = true }
        bell.ring()
      }
      func wait() async { _ = await bell.until { isRaised.withLock { $0 } } }
    }

    init(_ all: [String: Shard]) { self.all = Mutex(all) }

    func shards() async throws -> [SourceShard] {
      all.withLock { $0.keys.sorted() }.enumerated().map { SourceShard(name: $1, stream: "orders", number: $0) }
    }

    func bounds(of shards: [String]) async throws -> [String: ShardBounds] {
      all.withLock { $0.mapValues { ShardBounds(low: .offset($0.low), high: .offset($0.high)) } }
    }

    func starts(of shards: [String], isLater: Bool) async throws -> [String: ShardPoint] {
      all.withLock { all in Dictionary(uniqueKeysWithValues: shards.map { ($0, ShardPoint(all[$0]?.low ?? 0)) }) }
    }

    func assign(_ positions: [String: ShardPoint]) async throws -> [any CapturableShard] {
      positions.sorted { $0.key < $1.key }.map { Reader(name: $0.key, source: self, at: $0.value.ordinal) }
    }

    func release(_ shards: [String]) async throws {}
    func refuseQuestions() {}
    func close() async { isClosed.raise() }

    final class Reader: CapturableShard {
      let name: String
      let source: Source
      let at: Mutex<Int64>

      init(name: String, source: Source, at position: Int64) {
        (self.name, self.source) = (name, source)
        at = Mutex(position)
      }

      func next() async throws -> CapturableRead {
        let (at, shard) = (at.withLock { $0 }, source.all.withLock { $0[name] })
        guard let shard, at < shard.high else {
          await source.isClosed.wait()
          return .closed
        }
        if at < shard.low { return .outOfRange(at: ShardPoint(at)) }
        let value = Array(shard.values[Int(at - shard.low)].utf8)
        var block = RecordedBlock(shard: name, first: at, next: at + 1)
        (block.positions, block.timestamps, block.keyLength) = ([at], [at], [-1])
        (block.valueLength, block.headerCount, block.text) = ([Int32(value.count)], [0], value)
        self.at.withLock { $0 += 1 }
        // What was not read by then is forgotten.
        if value == Array("last before a loss".utf8) { source.all.withLock { $0[name]?.forget(3) } }
        return .block(block)
      }
    }
  }

  @Test func aSourceOfAnyKindIsCapturedAndWhatItForgotIsRecordedAsLost() async throws {
    let directory = NSTemporaryDirectory() + "weir-capture-source-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let source = Source([
      "orders/a": .init(low: 0, values: ["one", "last before a loss", "lost", "three"]), "orders/b": .init(low: 7, values: ["seven"]),
    ])
    let clock = SystemClock()
    let writer = try LiveCaptureWriter(.init(directory: directory), random: SystemRandom())
    let collector = CaptureCollector(writer, thread: BlockingThreads(count: 1), clock: clock, countMax: 4)
    let said = Mutex<[String]>([])
    let session = CaptureSession(
      source: source, collector: collector, writer: writer, clock: clock, limits: .init(),
      talk: { line in said.withLock { $0.append(line) } })
    try await session.run(until: Flag(), observe: { _ in })
    #expect(writer.records == 4 && writer.positions == ["orders/a": 4, "orders/b": 8])
    #expect(said.withLock { $0.count { $0.hasPrefix("LOST: positions 2 to 3 of orders/a") } } == 1, "\(said.withLock { $0 })")
  }
}

extension CaptureSourceTests.Source.Shard {
  fileprivate mutating func forget(_ low: Int64) {
    values.removeFirst(Int(low - self.low))
    self.low = low
  }
}
