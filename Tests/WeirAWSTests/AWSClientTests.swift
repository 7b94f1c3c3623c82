import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirAWS

struct AWSClientTests {
  /// A client with a script, and all that a test wants to see of it.
  struct Setup {
    let client: AWSClient
    let transport: ScriptedTransport
    let clock: ManualClock
    let counter = AWSRequestCounter()
    let keys: CountedKeys

    init(
      _ script: [ScriptedTransport.Reply], service: AWSService = .s3, nanoseconds: Int64 = 0,
      _ change: (inout AWSRetrySettings) -> Void = { _ in }
    ) throws {
      var settings = AWSRetrySettings()
      change(&settings)
      clock = ManualClock(.moves, now: TestMachine.start)
      transport = ScriptedTransport(script, clock: clock, nanoseconds: nanoseconds)
      keys = CountedKeys()
      client = AWSClient(
        service, try AWSEndpoint.of(service, region: "eu-central-1", isFIPS: false, isDualStack: false), credentials: keys,
        parts: .init(transport: transport, clock: clock, random: SplitMix64Source(7), counter: counter), settings: settings)
    }

    var seconds: Double { Double(clock.monotonicNanoseconds - TestMachine.start) / 1e9 }
    func count(_ outcome: AWSRequestCounts.Outcome) -> Int {
      counter.snapshot.requests(service: client.service.rawValue, operation: "PutObject", outcome: outcome)
    }
  }

  /// New keys after each refusal.
  actor CountedKeys: AWSCredentialsProvider {
    private(set) var refusals = 0
    func credentials() async throws(AWSFailure) -> AWSCredentials {
      AWSCredentials(accessKeyID: "AKID\(refusals)", secretAccessKey: "very-secret", sessionToken: "session-secret")
    }
    func refused(_ credentials: AWSCredentials) { refusals += 1 }
  }

  static let put = AWSRequest("PutObject", method: "PUT", path: "/b/a b", body: [1, 2, 3])
  static let putOnce = AWSRequest("PutObject", method: "PUT", path: "/b/a b", body: [1, 2, 3], retries: .whileNotReceived)

  private func failure(_ setup: Setup, _ request: AWSRequest) async -> AWSFailure? {
    do throws(AWSFailure) {
      _ = try await setup.client.send(request)
      return nil
    } catch { return error }
  }

  // MARK: One attempt

  @Test func `a request is signed, with its host, and counted`() async throws {
    let setup = try Setup([.answer(200, "ok")])
    let answer = try await setup.client.send(AWSClientTests.put)
    #expect(answer.body == Array("ok".utf8))
    let sent = try #require(setup.transport.requests.first)
    #expect(sent.origin == "https://s3.eu-central-1.amazonaws.com")
    #expect(sent.target == "/b/a%20b")
    let headers = Dictionary(sent.headers.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
    #expect(headers["Host"] == "s3.eu-central-1.amazonaws.com")
    #expect(headers["Content-Type"] == "application/octet-stream")
    #expect(headers["Authorization"]?.contains("Credential=AKID0/20261130/eu-central-1/s3/aws4_request") == true)
    let key = AWSRequestCounts.Key(service: "s3", operation: "PutObject", outcome: .succeeded)
    #expect(setup.counter.snapshot.counts[key]?.bytesSent == 3)
    #expect(setup.counter.snapshot.counts[key]?.bytesReceived == 2)
  }

  @Test func `buckets in virtual-host style and endpoints with a path keep the signature right`() throws {
    let setup = try Setup([])
    var request = AWSClientTests.put
    request.hostPrefix = "bucket."
    #expect(setup.client.transportRequest(request, nil, at: 0).origin == "https://bucket.s3.eu-central-1.amazonaws.com")
    let custom = AWSClient(
      .dynamodb, try AWSEndpoint("http://localhost:8000/proxy/", region: "eu-central-1"), credentials: nil,
      parts: .init(transport: setup.transport, clock: setup.clock, random: SplitMix64Source(1), counter: setup.counter))
    let sent = custom.transportRequest(AWSRequest("ListTables", method: "POST", body: [1]), nil, at: 0)
    #expect(sent.origin + sent.target == "http://localhost:8000/proxy/")
    #expect(!sent.headers.contains { $0.name == "Authorization" })
  }

  // MARK: Repeating

  @Test func `a failed read is repeated until it succeeds, and each attempt is counted`() async throws {
    let setup = try Setup([.answer(500), .broken(received: true), .timeout(received: true), .answer(200)])
    _ = try await setup.client.send(AWSClientTests.put)
    #expect(setup.transport.requests.count == 4)
    #expect(setup.count(.failed) == 1)
    #expect(setup.count(.unanswered) == 2)
    #expect(setup.count(.succeeded) == 1)
    #expect(setup.seconds > 0)
    // Full jitter: 50, 100, 200 ms at most.
    #expect(setup.seconds < 0.35)
  }

  @Test func `attempts are bounded, and the last failure is shown`() async throws {
    let setup = try Setup(Array(repeating: .xml(500, "InternalError"), count: 9)) { $0.attemptsMax = 3 }
    let failure = await failure(setup, AWSClientTests.put)
    #expect(setup.transport.requests.count == 3)
    #expect(failure?.kind == .retriable)
    #expect(failure?.code == "InternalError")
    #expect(failure?.requestID == "R1")
    #expect(failure?.message.contains("PutObject at https://s3.eu-central-1.amazonaws.com: HTTP 500 InternalError: m") == true)
  }

  @Test func `the total time is bounded, with the attempts' own time`() async throws {
    let setup = try Setup(Array(repeating: .timeout(received: true), count: 99), nanoseconds: 4_000_000_000) {
      ($0.attemptsMax, $0.totalMilliseconds, $0.attemptMilliseconds) = (99, 10_000, 4000)
    }
    #expect(await failure(setup, AWSClientTests.put)?.code == "Timeout")
    #expect(setup.transport.requests.count == 3)
    // The last attempt may take only what is left.
    #expect(try #require(setup.transport.requests.last).totalMilliseconds < 2001)
  }

  @Test(arguments: [
    ScriptedTransport.Reply.noConnection, .broken(received: false), .timeout(received: false), .xml(503, "SlowDown"),
    .json(400, "ThrottlingException"), .xml(400, "RequestTimeout"),
  ]) func `a conditional write is repeated when the service cannot have acted`(first: ScriptedTransport.Reply) async throws {
    let setup = try Setup([first, .answer(412)])
    #expect(try await setup.client.send(AWSClientTests.putOnce).status == 412)
    #expect(setup.transport.requests.count == 2)
    #expect(setup.transport.requests.allSatisfy { !$0.isRepeatable })
  }

  @Test(arguments: [
    ScriptedTransport.Reply.broken(received: true), .timeout(received: true), .answer(500), .xml(503, "ServiceUnavailable"), .answer(502),
    .failure(.init(.tooLarge, mayBeReceived: true, "")), .failure(.init(.cancelled, mayBeReceived: true, "")),
  ]) func `a conditional write whose effect is open is unknown and not repeated`(first: ScriptedTransport.Reply) async throws {
    let setup = try Setup([first, .answer(200)])
    #expect(await failure(setup, AWSClientTests.putOnce)?.kind == .unknown)
    #expect(setup.transport.requests.count == 1)
  }

  @Test func `the same failures of a repeatable request are retriable`() async throws {
    let setup = try Setup([.failure(.init(.cancelled, mayBeReceived: true, ""))])
    #expect(await failure(setup, AWSClientTests.put)?.kind == .retriable)
    let large = try Setup([.failure(.init(.tooLarge, mayBeReceived: true, ""))])
    #expect(await failure(large, AWSClientTests.put)?.kind == .fatal)
  }

  @Test func `what a person has to fix is fatal at once`() async throws {
    let setup = try Setup([.failure(.init(.configuration, mayBeReceived: false, "SSL certificate problem"))])
    let failure = await failure(setup, AWSClientTests.put)
    #expect(failure?.kind == .fatal)
    #expect(failure?.code == "TransportConfiguration")
    let other = try Setup([.xml(301, "PermanentRedirect", ["x-amz-bucket-region": "eu-west-1"])])
    #expect(await self.failure(other, AWSClientTests.put)?.message.contains("eu-west-1; set it with AWS_REGION") == true)
  }

  @Test func `a condition of DynamoDB that does not hold fences, with the answer's body`() async throws {
    let setup = try Setup([.json(400, "ConditionalCheckFailedException")], service: .dynamodb)
    let failure = await failure(setup, AWSClientTests.put)
    #expect(failure?.kind == .fenced)
    #expect(failure?.body.isEmpty == false)
    #expect(setup.count(.conflict) == 1)
  }

  // MARK: Pauses

  @Test func `a service that names a pause gets it`() async throws {
    let setup = try Setup([.answer(503, "", ["Retry-After": "3"]), .answer(200)])
    _ = try await setup.client.send(AWSClientTests.put)
    #expect(setup.seconds >= 3 && setup.seconds < 3.1)
    let milliseconds = try Setup([.answer(503, "", ["x-amz-retry-after": "1500"]), .answer(200)])
    _ = try await milliseconds.client.send(AWSClientTests.put)
    #expect(milliseconds.seconds >= 1.5 && milliseconds.seconds < 1.6)
    let long = try Setup([.answer(503, "", ["Retry-After": "86400"]), .answer(200)])
    _ = try await long.client.send(AWSClientTests.put)
    #expect(long.seconds <= 5.1)
  }

  @Test func `pauses grow from 50 ms, or 1 s after throttling, to 20 s`() {
    func most(_ attempt: Int, _ isThrottled: Bool, _ service: String = "s3") -> Double {
      BackOff.pause(after: attempt, isThrottled: isThrottled, service: service, random: 1, named: nil)
    }
    #expect((1...4).map { most($0, false) } == [0.05, 0.1, 0.2, 0.4])
    #expect((1...3).map { most($0, false, "dynamodb") } == [0.025, 0.05, 0.1])
    #expect((1...6).map { most($0, true) } == [1, 2, 4, 8, 16, 20])
    #expect(most(1_000_000, false) == 20)
    #expect(BackOff.pause(after: 3, isThrottled: true, service: "s3", random: 0, named: nil) == 0)
  }

  // MARK: Keys and clocks

  @Test func `keys that expired are renewed once`() async throws {
    let setup = try Setup([.xml(400, "ExpiredToken"), .answer(200)])
    _ = try await setup.client.send(AWSClientTests.putOnce)
    #expect(await setup.keys.refusals == 1)
    let authorization = setup.transport.requests.map { $0.headers.first { $0.name == "Authorization" }?.value ?? "" }
    #expect(authorization[0].contains("AKID0/") && authorization[1].contains("AKID1/"))
    let never = try Setup([.json(400, "ExpiredTokenException"), .json(400, "ExpiredTokenException"), .answer(200)])
    #expect(await failure(never, AWSClientTests.put)?.kind == .fatal)
    #expect(never.transport.requests.count == 2)
  }

  @Test func `a wrong clock is corrected once, and stays corrected`() async throws {
    let date = ["Date": "Mon, 30 Nov 2026 09:30:00 GMT"]
    let setup = try Setup([.xml(403, "RequestTimeTooSkewed", date), .answer(200), .answer(200)])
    _ = try await setup.client.send(AWSClientTests.putOnce)
    _ = try await setup.client.send(AWSClientTests.putOnce)
    let dates = setup.transport.requests.map { $0.headers.first { $0.name == "X-Amz-Date" }?.value }
    #expect(dates == ["20261130T080000Z", "20261130T093000Z", "20261130T093000Z"])
    let never = try Setup([
      .xml(403, "RequestTimeTooSkewed", date), .xml(403, "RequestTimeTooSkewed", ["Date": "Mon, 30 Nov 2026 19:30:00 GMT"]),
    ])
    #expect(await failure(never, AWSClientTests.put)?.kind == .fatal)
  }

  @Test func `no secret is in any description or failure`() async throws {
    for script: [ScriptedTransport.Reply] in [[.xml(403, "AccessDenied")], [.noConnection], [.timeout(received: true)], [.answer(302)]] {
      let setup = try Setup(script) { $0.attemptsMax = 1 }
      let failure = try #require(await failure(setup, AWSClientTests.put))
      #expect(!"\(failure)\(String(reflecting: failure))".contains("secret"))
    }
    let keys = AWSCredentials(accessKeyID: "AKID", secretAccessKey: "very-secret", sessionToken: "session-secret")
    let fetched = FetchedCredentials(keys, expiresAt: 1, place: "here")
    var text = ""
    dump(fetched, to: &text)
    #expect(!(text + "\(fetched)\(String(reflecting: fetched))").contains("secret"))
  }

  // MARK: Shared state

  @Test func `a service that fails gets no more than its quota of repeated requests`() async throws {
    let setup = try Setup(Array(repeating: .answer(500), count: 2000)) { $0.attemptsMax = 5 }
    for _ in 0..<200 { _ = await failure(setup, AWSClientTests.put) }
    // 500 tokens of 5 per attempt.
    #expect(setup.transport.requests.count == 200 + 100)
  }

  @Test func `time-outs cost twice as much, and successes give tokens back`() {
    var quota = RetryQuota()
    #expect(quota.take(isTimeout: true) == 10)
    #expect(quota.available == 490)
    quota.giveBack(10)
    #expect(quota.available == 500)
    quota.giveBack(0)
    #expect(quota.available == 500)
    for _ in 0..<50 { #expect(quota.take(isTimeout: true) != nil) }
    #expect(quota.take(isTimeout: false) == nil)
    quota.giveBack(0)
    #expect(quota.available == 1)
  }

  @Test func `after throttling requests come at the rate that the service accepts`() async throws {
    // 20 requests per second are accepted; the clock moves by 1 ms per request and by the client's pauses.
    let accepted = Mutex((start: TestMachine.start, count: 0))
    let clock = ManualClock(.moves, now: TestMachine.start)
    let transport = RoutedTransport { _ in
      clock.advance(by: 1_000_000)
      return accepted.withLock { slot in
        let now = clock.monotonicNanoseconds
        if now - slot.start >= 1_000_000_000 { slot = (now, 0) }
        slot.count += 1
        return slot.count > 20 ? .json(400, "ThrottlingException") : .answer(200)
      }
    }
    var settings = AWSRetrySettings()
    (settings.attemptsMax, settings.totalMilliseconds) = (10, 1_000_000)
    let counter = AWSRequestCounter()
    let client = AWSClient(
      .dynamodb, try AWSEndpoint("http://localhost", region: "eu-central-1"), credentials: nil,
      parts: .init(transport: transport, clock: clock, random: SplitMix64Source(3), counter: counter), settings: settings)
    var answered = 0
    for _ in 0..<1000 where (try? await client.send(AWSClientTests.put)) != nil { answered += 1 }
    let seconds = Double(clock.monotonicNanoseconds - TestMachine.start) / 1e9
    let throttled = counter.snapshot.requests(service: "dynamodb", operation: "PutObject", outcome: .throttled)
    #expect(answered > 980)
    #expect(throttled < 200, "\(throttled) throttled in \(seconds) s")
    #expect(Double(answered) / seconds > 8, "\(answered) in \(seconds) s")
  }

  @Test func `no request starts that would wait longer than it may`() async throws {
    let setup = try Setup(Array(repeating: .json(400, "ThrottlingException"), count: 99), service: .dynamodb) {
      ($0.attemptsMax, $0.totalMilliseconds) = (2, 100)
    }
    for _ in 0..<20 {
      let failure = await failure(setup, AWSClientTests.put)
      #expect(failure?.kind == .retriable)
    }
    #expect(setup.transport.requests.count < 20)
  }

  @Test func `a cancelled task sends nothing more`() async throws {
    let setup = try Setup([.answer(500), .answer(200)])
    let task = Task { await failure(setup, AWSClientTests.put) }
    task.cancel()
    #expect(await task.value?.kind == .retriable)
    #expect(setup.transport.requests.count <= 1)
  }
}
