import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirDynamoDB

/// DynamoDB does as every state table.
@Suite struct DynamoDBConformanceTests {
  static var bounds: DynamoDBStateTable.Bounds {
    var bounds = DynamoDBStateTable.Bounds()
    (bounds.inFlight, bounds.transactionRows, bounds.partRows, bounds.buckets) = (8, 4, 20, 3)
    return bounds
  }

  static func table(
    _ sender: ModelSender, seed: UInt64 = 1, create: Bool = true, onPart: @escaping @Sendable () async throws -> Void = {}
  ) -> DynamoDBStateTable {
    DynamoDBStateTable(
      table: "weir", sender: sender, clock: ManualClock(.moves), random: SeededRandom(seed), create: create, bounds: bounds, onPart: onPart)
  }

  @Test(arguments: StateTableConformance.cases) func `DynamoDB does as every state table`(aCase: StateTableConformance.Case) async throws {
    let model = DynamoDBModel()
    let kind = StateTableConformance.Kind(
      rowsOfParts: 50, valueBytesMax: 390_000, reopen: { _ in DynamoDBConformanceTests.table(ModelSender(model), seed: 2) },
      make: { DynamoDBConformanceTests.table(ModelSender(model), onPart: $0) })
    try await aCase.run(on: kind)
  }

  /// Every 5th request fails, in another way each time. The table repeats it.
  @Test(arguments: StateTableConformance.cases) func `a table whose requests fail does as every state table`(
    aCase: StateTableConformance.Case
  ) async throws {
    let model = DynamoDBModel()
    let kinds: [ModelSender.Fault] = [.lostRequest, .lostReply, .throttled, .conflict, .failed]
    @Sendable func sender() -> ModelSender { ModelSender(model) { number, _ in number % 5 == 3 ? kinds[number / 5 % kinds.count] : nil } }
    let kind = StateTableConformance.Kind(
      rowsOfParts: 50, valueBytesMax: 390_000, reopen: { _ in DynamoDBConformanceTests.table(sender(), seed: 2) },
      make: { DynamoDBConformanceTests.table(sender(), onPart: $0) })
    try await aCase.run(on: kind)
  }
}

/// The same numbers for the same seed.
final class SeededRandom: RandomSource {
  private let generator: Mutex<SplitMix64>

  init(_ seed: UInt64) { generator = Mutex(SplitMix64(seed: seed)) }

  func next() -> UInt64 { generator.withLock { $0.next() } }
}
