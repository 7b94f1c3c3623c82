import Synchronization
import Testing
import WeirAWS
import WeirCore
import WeirS3Settings
import WeirTesting

@testable import WeirS3

/// Uploads of many parts: what is in memory, and in which order parts arrive.
@Suite struct UploadTests {
  /// Keeps the lengths and sums of parts, and how much is under way.
  private final class Counter: AWSSender {
    struct State {
      var (now, most) = (0, 0)
      var parts: [String: Int] = [:]
      var completed = ""
    }
    let endpoint = "http://127.0.0.1:9000"
    let state = Mutex(State())

    func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
      state.withLock {
        if request.operation == "UploadPart" { $0.now += request.body.count }
        $0.most = max($0.most, $0.now)
      }
      // The later parts of a few come first.
      for _ in 0..<(request.body.first.map { Int($0 % 5) } ?? 0) * 3 { await Task.yield() }
      return state.withLock { state in
        if request.operation == "UploadPart" { state.now -= request.body.count }
        let number = request.query.first { $0.name == "partNumber" }?.value
        switch request.operation {
        case "CreateMultipartUpload":
          return AWSResponse(status: 200, body: Array("<R><UploadId>u</UploadId></R>".utf8))
        case "UploadPart":
          state.parts[number ?? ""] = request.body.count
          return AWSResponse(status: 200, headers: [.init("etag", "\"e\(number ?? "")\"")])
        default:
          state.completed = String(decoding: request.body, as: UTF8.self)
          return AWSResponse(status: 200, body: Array("<CompleteMultipartUploadResult/>".utf8))
        }
      }
    }
  }

  @Test func `at most three parts are under way, whatever the size, and the end names all of them in order`() async throws {
    let counter = Counter()
    var settings = S3Settings(try S3Location("s3://bucket"))
    settings.partBytes = 1000
    settings.sendsChecksums = false
    let store = S3ObjectStore(settings, sender: counter, clock: ManualClock(.moves), random: CountingRandom())
    let upload = try await store.upload("a")
    let total = 1_234_567 / Cases.step(debug: 10)
    var (left, byte) = (total, UInt8(0))
    while left > 0 {
      let count = min(left, 777)
      try await upload.append([UInt8](repeating: byte, count: count))
      (left, byte) = (left - count, byte &+ 1)
    }
    #expect(await upload.finish() == .created)
    let state = counter.state.withLock { ($0.most, $0.parts, $0.completed) }
    // From part 1,001 on they are twice as large.
    #expect(state.0 <= 3 * (state.1.count > 1000 ? 2000 : 1000), "\(state.0) bytes under way")
    #expect(state.1.values.reduce(0, +) == total)
    let numbers = state.2.split(separator: "<PartNumber>").dropFirst().compactMap { Int($0.prefix { $0 != "<" }) }
    #expect(numbers == Array(1...state.1.count))
  }
}
