import Synchronization
import Testing
import WeirAWS
import WeirCore
import WeirTesting

@testable import WeirKinesis

/// A stream that refuses what a script says: of each request, numbers of records, or the code of an error.
private final class Stream: AWSSender {
  enum Answer { case refuses([Int]), fails(String) }

  let endpoint = "https://kinesis.test"
  let script: Mutex<[Answer]>
  let stored = Mutex<[String]>([])
  let requests = Mutex(0)

  init(_ script: [Answer]) { self.script = Mutex(script) }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    requests.withLock { $0 += 1 }
    let answer = script.withLock { $0.isEmpty ? Answer.refuses([]) : $0.removeFirst() }
    guard case .refuses(let refused) = answer else {
      guard case .fails(let code) = answer else { return AWSResponse(status: 500, body: []) }
      throw AWSFailure(.fatal, code: code, message: code, status: 400)
    }
    let keys = ((try? JSONValue(parsing: request.body))?["Records"]?.array ?? []).map { $0["PartitionKey"]?.string ?? "" }
    let results = keys.indices.map { row in
      refused.contains(row) ? #"{"ErrorCode":"ProvisionedThroughputExceededException"}"# : #"{"SequenceNumber":"1","ShardId":"x"}"#
    }
    stored.withLock { $0 += keys.indices.filter { !refused.contains($0) }.map { keys[$0] } }
    return AWSResponse(status: 200, body: Array("{\"FailedRecordCount\":0,\"Records\":[\(results.joined(separator: ","))]}".utf8))
  }
}

struct KinesisPutterTests {
  private func putter(_ script: [Stream.Answer]) -> (Stream, KinesisPutter) {
    let stream = Stream(script)
    return (stream, KinesisPutter(KinesisRequests(stream, stream: "s"), clock: ManualClock(.moves)))
  }

  private static let entries = (0..<5).map { KinesisPutter.Entry(key: "k\($0)", data: [UInt8($0)]) }

  @Test func `records that are refused are put again, and no others`() async throws {
    let (stream, putter) = putter([.refuses([1, 3]), .fails("ThrottlingException"), .refuses([0])])
    try await putter.put(Self.entries)
    #expect(stream.stored.withLock { $0 } == ["k0", "k2", "k4", "k3", "k1"])
    #expect(putter.counts == KinesisPutter.Counts(delivered: 5, failed: 0, repeated: 5))
  }

  @Test func `a record that is always refused is given up after a bounded number of requests`() async throws {
    let (stream, putter) = putter(Array(repeating: .refuses([0]), count: 100))
    try await putter.put(Self.entries)
    #expect(putter.counts.delivered == 4 && putter.counts.failed == 1)
    #expect(stream.requests.withLock { $0 } == 20)
  }

  @Test func `aggregates hold the records of one shard each, in order, as a reader takes them apart`() throws {
    let half = UInt128.max / 2
    let packer = AggregatePacker([("low", HashRange(0, half)), ("high", HashRange(half + 1, .max))])
    let entries = (0..<3000).map { i in
      KinesisPutter.Entry(
        key: "k\(i % 70)", data: Array(repeating: UInt8(i % 251), count: i % 97),
        explicitHash: i % 5 == 0 ? UInt128(i) << 110 : nil)
    }
    let packed = packer.pack(entries)
    #expect(packed.count < 10 && packed.allSatisfy { $0.data.count <= AggregatePacker.bytesMax })
    var seen: [String: [KinesisPutter.Entry]] = [:]
    for outer in packed {
      let aggregate = try #require(Aggregate(outer.data))
      let inner = aggregate.records.map {
        KinesisPutter.Entry(key: $0.key, data: Array(outer.data[$0.data]), explicitHash: $0.explicitHash)
      }
      let shard = try #require(packer.shard(of: outer.hash))
      #expect(inner.allSatisfy { packer.shard(of: $0.hash) == shard })
      seen[shard, default: []] += inner
    }
    for shard in ["low", "high"] {
      let wanted = entries.filter { packer.shard(of: $0.hash) == shard }
      #expect(seen[shard]?.map(\.key) == wanted.map(\.key) && seen[shard]?.map(\.data) == wanted.map(\.data))
    }
  }

  @Test func `a record that is alone is put as it is`() {
    let packed = AggregatePacker([("all", .all)]).pack([KinesisPutter.Entry(key: "k", data: [1])])
    #expect(packed.map(\.data) == [[1]] && packed[0].packed == nil)
  }

  @Test func `a stream that is missing ends the load`() async throws {
    let (_, putter) = putter([.fails("ResourceNotFoundException")])
    let error = await #expect(throws: WeirError.self) { try await putter.put(Self.entries) }
    #expect(error?.code == .topicMissing)
  }
}
