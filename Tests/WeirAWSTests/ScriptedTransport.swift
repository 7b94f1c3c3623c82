import Synchronization
import WeirCore
import WeirTesting

@testable import WeirAWS

/// Answers in the order of a script, and records the requests. After the script's end there is no connection.
final class ScriptedTransport: AWSTransport {
  typealias Reply = Result<AWSResponse, AWSTransportFailure>

  private let state: Mutex<(script: [Reply], requests: [AWSTransportRequest])>
  private let clock: ManualClock?
  /// That each request takes.
  private let nanoseconds: Int64

  init(_ script: [Reply], clock: ManualClock? = nil, nanoseconds: Int64 = 0) {
    state = Mutex((script, []))
    self.clock = clock
    self.nanoseconds = nanoseconds
  }

  var requests: [AWSTransportRequest] { state.withLock { $0.requests } }

  func send(_ request: AWSTransportRequest) async throws(AWSTransportFailure) -> AWSResponse {
    clock?.advance(by: nanoseconds)
    let reply = state.withLock { state in
      state.requests.append(request)
      return state.script.isEmpty ? .failure(.init(.noConnection, mayBeReceived: false, "the script is over")) : state.script.removeFirst()
    }
    return try reply.get()
  }
}

/// Answers by the request's address.
final class RoutedTransport: AWSTransport {
  typealias Route = @Sendable (AWSTransportRequest) -> ScriptedTransport.Reply

  private let recorded = Mutex<[AWSTransportRequest]>([])
  private let route: Route

  init(_ route: @escaping Route) { self.route = route }

  var requests: [AWSTransportRequest] { recorded.withLock { $0 } }

  func send(_ request: AWSTransportRequest) async throws(AWSTransportFailure) -> AWSResponse {
    recorded.withLock { $0.append(request) }
    return try route(request).get()
  }
}

extension Result where Success == AWSResponse, Failure == AWSTransportFailure {
  static func answer(_ status: Int, _ body: String = "", _ headers: [String: String] = [:]) -> Self {
    .success(AWSResponse(status: status, headers: headers.map { .init($0.key, $0.value) }, body: Array(body.utf8)))
  }

  /// XML, as S3 has it.
  static func xml(_ status: Int, _ code: String, _ headers: [String: String] = [:]) -> Self {
    answer(status, "<?xml version=\"1.0\"?>\n<Error><Code>\(code)</Code><Message>m</Message><RequestId>R1</RequestId></Error>", headers)
  }

  /// JSON, as DynamoDB has it.
  static func json(_ status: Int, _ code: String, _ headers: [String: String] = [:]) -> Self {
    answer(status, "{\"__type\":\"com.amazonaws.dynamodb.v20120810#\(code)\",\"message\":\"m\"}", headers)
  }

  static func broken(received: Bool) -> Self { .failure(.init(.broken, mayBeReceived: received, "reset")) }
  static func timeout(received: Bool) -> Self { .failure(.init(.timeout, mayBeReceived: received, "too slow")) }
  static var noConnection: Self { .failure(.init(.noConnection, mayBeReceived: false, "refused")) }
}

/// A machine of values.
struct TestMachine: AWSMachine {
  typealias Program = @Sendable ([String]) throws(AWSFailure) -> [UInt8]

  var transport: any AWSTransport = ScriptedTransport([])
  var clock: any Clock = ManualClock(.moves, now: TestMachine.start)
  var random: any RandomSource = SplitMix64Source(1)
  var variables: [String: String] = ["HOME": "/home/w", "AWS_EC2_METADATA_DISABLED": "true"]
  var files: [String: String] = [:]
  var program: Program = { _ throws(AWSFailure) in throw .credentials(.retriable, "no such program") }

  /// 2026-11-30T08:00:00Z
  static let startSeconds: Int64 = 1_796_025_600
  static let start = startSeconds * 1_000_000_000

  func variable(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
  func read(_ path: String) async throws(AWSFailure) -> [UInt8]? { files[path].map { Array($0.utf8) } }
  func run(_ words: [String], seconds: Int) async throws(AWSFailure) -> [UInt8] { try program(words) }
}

/// The same numbers each time.
final class SplitMix64Source: RandomSource {
  private let state: Mutex<SplitMix64>
  init(_ seed: UInt64) { state = Mutex(SplitMix64(seed: seed)) }
  func next() -> UInt64 { state.withLock { $0.next() } }
}

let testKeys = AWSCredentials(accessKeyID: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
