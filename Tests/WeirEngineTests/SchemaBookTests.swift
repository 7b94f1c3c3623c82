import Foundation
import Synchronization
import Testing
import WeirConfiguration
import WeirCore
import WeirDelta
import WeirLocal
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// What ids stand for is decided once a lake.
struct SchemaBookTests {
  /// Answers as told; then as told next.
  final class Registry: SchemaRegistry {
    enum Answer { case schema(String), unknown, away, refused }
    private let answers: Mutex<[Answer]>
    let asked = Mutex(0)

    init(_ answers: [Answer]) { self.answers = Mutex(answers) }

    func schema(_ id: SchemaID) async throws -> RegisteredSchema? {
      asked.withLock { $0 += 1 }
      switch answers.withLock({ $0.count > 1 ? $0.removeFirst() : $0[0] }) {
      case .schema(let text): return RegisteredSchema(type: "AVRO", schema: text)
      case .unknown: return nil
      case .away: throw WeirError(.unavailable, "away")
      case .refused: throw WeirError(.registry, "refused")
      }
    }
  }

  final class Bench: Sendable {
    let path = NSTemporaryDirectory() + "weir-schemas-" + UUID().uuidString
    let plan: Plan
    let lake: LocalObjectStore
    let threads = BlockingThreads(count: 1)
    let told = Mutex(0)

    init() throws {
      let yaml = """
        pipeline: p
        source: {kafka: {brokers: "b:1", topic: t, group: g}}
        record: {format: avro, registry: {url: "http://r"}, fields: {a: string}}
        bronze: {}
        """
      plan = try loadPipeline(yaml: yaml, file: "p.yaml").plan
      lake = LocalObjectStore(root: path, threads: threads, random: SystemRandom())
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func book(_ registry: Registry) throws -> SchemaBook {
      let environment = EngineEnvironment(
        lake: lake, tables: DeltaFormat(), state: nil, clock: ManualClock(.ends), random: SystemRandom(), threads: threads, parallel: 1,
        registry: RegistryEnvironment(registry: registry, tell: { _ in self.told.withLock { $0 += 1 } }))
      return try #require(SchemaBook(plan, environment: environment))
    }

    /// What a record with id 7 is taken for.
    func resolve(_ registry: Registry) async throws -> String? {
      let raw = try await book(registry).resolve(RawBlock(records: [[0, 0, 0, 0, 7, 1]]), until: { false })
      guard case .known(_, let schema)? = raw?.schemas?.resolved.first else { return nil }
      return schema.schema
    }
  }

  @Test func `the first answer holds for every worker after it, also that there is none`() async throws {
    let bench = try Bench()
    #expect(try await bench.resolve(Registry([.schema("one")])) == "one")
    let other = Registry([.schema("another")])
    #expect(try await bench.resolve(other) == "one" && other.asked.withLock { $0 } == 0)
    let none = try Bench()
    #expect(try await none.resolve(Registry([.unknown])) == nil)
    #expect(try await none.resolve(Registry([.schema("late")])) == nil, "records were quarantined by it: a replay must do the same")
  }

  @Test func `a registry that is away is waited for, and one that does not know yet is asked again`() async throws {
    let bench = try Bench()
    #expect(try await bench.resolve(Registry([.away, .away, .unknown, .schema("x")])) == "x")
    #expect(bench.told.withLock { $0 } == 1, "told once, not at each try")
  }

  @Test func `who stops meanwhile gets nothing, and what no waiting mends is thrown`() async throws {
    let bench = try Bench()
    let raw = RawBlock(records: [[0, 0, 0, 0, 7, 1]])
    #expect(try await bench.book(Registry([.away])).resolve(raw, until: { true }) == nil)
    await #expect(throws: WeirError.self) { try await bench.book(Registry([.refused])).resolve(raw, until: { false }) }
    #expect(try await bench.lake.list("_weir/p/schemas/").isEmpty, "neither is an answer")
  }

  @Test func `a pin that was changed is refused`() async throws {
    let bench = try Bench()
    _ = try await bench.resolve(Registry([.schema("one")]))
    let path = LedgerLayout(pipeline: "p").schema("7")
    let bytes = try #require(try await bench.lake.get(path))
    try await bench.lake.replace(
      NewObject(path: path, bytes: Array(String(decoding: bytes, as: UTF8.self).replacing("one", with: "two").utf8)))
    await #expect(throws: WeirError.self) { try await bench.resolve(Registry([.schema("one")])) }
  }
}
