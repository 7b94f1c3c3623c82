import WeirCore
import WeirTesting

/// Topics that rows are published to: each keeps what was stored, in order.
///
/// `@unchecked Sendable`: see ``World``.
final class SimulatedSinkTopics: @unchecked Sendable {
  let world: World
  var failed = 0.0
  var marks = Marks()
  /// Called with each record that is stored.
  var onStore: ((_ topic: String, _ record: SinkRecord) -> Void)?
  fileprivate var random: SplitMix64

  init(world: World) {
    self.world = world
    random = world.random("sinks")
  }

  func reached(by node: Node) -> any RecordSink { SimulatedSink(node, self) }
}

/// A producer: what it sent is stored in order, up to the record at which it broke.
///
/// `@unchecked Sendable`: see ``World``.
private final class SimulatedSink: RecordSink, @unchecked Sendable {
  private let node: Node
  private let topics: SimulatedSinkTopics
  private var waiting: [(topic: String, record: SinkRecord)] = []
  private var isBroken = false

  init(_ node: Node, _ topics: SimulatedSinkTopics) {
    self.node = node
    self.topics = topics
  }

  func send(_ records: [SinkRecord], to topic: String) async throws {
    if isBroken { throw broken }
    waiting += records.map { (topic, $0) }
  }

  func flush(within nanoseconds: Int64) async throws -> Bool {
    await node.sleep(nanoseconds: 1_000_000 + Int64(topics.random.below(4_000_000)))
    if isBroken { throw broken }
    if topics.random.chance(topics.failed) {
      topics.marks.hit(.sinkBroken)
      store(topics.random.below(waiting.count + 1))
      isBroken = true
      throw broken
    }
    if topics.random.chance(topics.failed) {
      topics.marks.hit(.sinkSlow)
      store(topics.random.below(waiting.count + 1))
      await node.sleep(nanoseconds: nanoseconds)
      return waiting.isEmpty
    }
    store(waiting.count)
    return true
  }

  func close() async { isBroken = true }

  private func store(_ count: Int) {
    for (topic, record) in waiting.prefix(count) { topics.onStore?(topic, record) }
    waiting.removeFirst(count)
  }

  private var broken: WeirError {
    WeirError(.unavailable, "the simulated sink is broken")
  }
}
