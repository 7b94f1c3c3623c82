import Glibc
import WeirAWS
import WeirCore
import WeirS3
import WeirS3Settings

/// The probe's client and machine.
struct ProbeWorld {
  private let machine: SystemAWSMachine
  private let counter = AWSRequestCounter()

  init() {
    var clock = ProbeClock()
    clock.shiftMicroseconds = (getenv("PROBE_CLOCK_SHIFT").flatMap { Int64(String(cString: $0)) } ?? 0) * 1_000_000
    machine = .standard(clock: clock, random: ProbeRandom(), threads: BlockingThreads(count: 1))
  }

  func answer(_ asked: JSONValue) async throws -> JSONValue {
    switch asked["do"]?.string {
    case "sign": sign(asked)
    case "token": token(asked)
    case "resolve": try await resolve(asked)
    case "send": try await send(asked)
    case "upload": try await upload(asked)
    case "counts": counts()
    default: .members(["error": .string("unknown")])
    }
  }

  // MARK: Signing

  private func sign(_ asked: JSONValue) -> JSONValue {
    let request = SignedRequest(
      method: text(asked, "method"), path: text(asked, "path"), query: pairs(asked["query"]), headers: pairs(asked["headers"]),
      body: bytes(asked["body"]))
    let signer = SigV4(region: text(asked, "region"), service: text(asked, "service"))
    let signed = signer.sign(request, keys(asked["keys"]), at: asked["at"]?.int ?? 0)
    return .members(["headers": shown(signed.headers), "target": .string(signed.target)])
  }

  private func token(_ asked: JSONValue) -> JSONValue {
    let (token, expiry) = MSKToken.sign(region: text(asked, "region"), credentials: keys(asked["keys"]), at: asked["at"]?.int ?? 0)
    return .members(["token": .string(token), "expiresAt": .int(expiry)])
  }

  // MARK: Configuration

  private func configuration(_ asked: JSONValue) async throws(AWSFailure) -> AWSConfiguration {
    try await AWSConfiguration.load(machine, profile: asked["profile"]?.string, region: asked["region"]?.string, counter: counter)
  }

  private func resolve(_ asked: JSONValue) async throws -> JSONValue {
    let configuration = try await configuration(asked)
    var endpoints: [JSONValue.Member] = []
    for service in AWSService.allCases {
      let place = Result { () throws(AWSFailure) in try configuration.endpoint(of: service).text }
      switch place {
      case .success(let text): endpoints.append(.init(service.rawValue, .string(text)))
      case .failure(let failure): endpoints.append(.init(service.rawValue, ProbeWorld.shown(failure)))
      }
    }
    var found = JSONValue.null
    if asked["credentials"]?.bool ?? true {
      do throws(AWSFailure) {
        let keys = try await configuration.credentials.credentials()
        // The secret shows in the signature alone.
        let request = SignedRequest(method: "GET", path: "/", headers: [.init("Host", "example.com")])
        let signed = SigV4(region: "us-east-1", service: "sts").sign(request, keys, at: 1_700_000_000)
        found = .members(["id": .string(keys.accessKeyID), "headers": shown(signed.headers), "description": .string("\(keys)")])
      } catch {
        found = ProbeWorld.shown(error)
      }
    }
    return .members([
      "region": configuration.region.map { .string($0) } ?? .null, "endpoints": .object(endpoints), "credentials": found,
    ])
  }

  // MARK: Requests

  private func send(_ asked: JSONValue) async throws -> JSONValue {
    guard let service = AWSService(rawValue: text(asked, "service")) else { return .members(["error": .string("no such service")]) }
    var configuration = try await configuration(asked)
    if let count = asked["attempts"]?.int { configuration.retries.attemptsMax = Int(count) }
    if let time = asked["attemptMilliseconds"]?.int { configuration.retries.attemptMilliseconds = Int(time) }
    if let time = asked["totalMilliseconds"]?.int { configuration.retries.totalMilliseconds = Int(time) }
    let client = try configuration.client(of: service, endpoint: asked["endpoint"]?.string)
    var request = AWSRequest(
      text(asked, "operation"), method: text(asked, "method"), path: asked["path"]?.string ?? "/", query: pairs(asked["query"]),
      headers: pairs(asked["headers"]), body: bytes(asked["body"]), retries: asked["once"]?.bool ?? false ? .whileNotReceived : .always)
    if let zeros = asked["bodyBytes"]?.int { request.body = [UInt8](repeating: 0x61, count: Int(zeros)) }
    if let most = asked["answerBytesMax"]?.int { request.answerBytesMax = Int(most) }
    let answers = await ProbeWorld.all(client, request, times: Int(asked["times"]?.int ?? 1), parallel: Int(asked["parallel"]?.int ?? 1))
    return answers.count == 1 ? answers[0] : .members(["all": .array(answers)])
  }

  private static func all(_ client: AWSClient, _ request: AWSRequest, times: Int, parallel: Int) async -> [JSONValue] {
    await withTaskGroup(of: JSONValue.self) { group in
      var answers: [JSONValue] = []
      for number in 0..<times {
        if number >= parallel, let answer = await group.next() { answers.append(answer) }
        group.addTask { await once(client, request) }
      }
      for await answer in group { answers.append(answer) }
      return answers
    }
  }

  private static func once(_ client: AWSClient, _ request: AWSRequest) async -> JSONValue {
    do throws(AWSFailure) {
      let answer = try await client.send(request)
      return .members([
        "status": .int(Int64(answer.status)), "headers": .array(answer.headers.map { .array([.string($0.name), .string($0.value)]) }),
        "bytes": .int(Int64(answer.body.count)), "body": .string(Base64.encode(Array(answer.body.prefix(1 << 20)))),
      ])
    } catch {
      return shown(error)
    }
  }

  // MARK: Uploads

  private static let pieceBytes = 1 << 20

  /// Appends pieces of 1 MiB: the bytes of piece n are n. Answers with what came of it, and the resident memory before and at most, in KiB.
  private func upload(_ asked: JSONValue) async throws -> JSONValue {
    let settings = S3Settings(try S3Location(text(asked, "to")))
    let sender = try (try await configuration(asked)).client(of: .s3)
    let store = S3ObjectStore(settings, sender: sender, clock: ProbeClock(), random: ProbeRandom())
    let before = ProbeWorld.memory("VmRSS")
    let upload = try await store.upload(text(asked, "key"))
    for piece in 0..<Int(asked["pieces"]?.int ?? 0) {
      try await upload.append([UInt8](repeating: UInt8(truncatingIfNeeded: piece), count: ProbeWorld.pieceBytes))
    }
    let outcome = await upload.finish()
    return .members([
      "outcome": .string("\(outcome)"), "before": .int(before), "most": .int(ProbeWorld.memory("VmHWM")),
    ])
  }

  /// A number of this process's status in /proc, KiB.
  private static func memory(_ name: String) -> Int64 {
    guard let file = fopen("/proc/self/status", "r") else { return -1 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.hasPrefix(name + ":") { return Int64(text.filter(\.isNumber)) ?? -1 }
    }
    return -1
  }

  private func counts() -> JSONValue {
    .array(
      counter.snapshot.counts.map { key, count in
        .members([
          "service": .string(key.service), "operation": .string(key.operation), "outcome": .string(key.outcome.rawValue),
          "requests": .int(Int64(count.requests)), "bytesSent": .int(count.bytesSent), "bytesReceived": .int(count.bytesReceived),
        ])
      })
  }

  // MARK: Forms

  static func shown(_ failure: AWSFailure) -> JSONValue {
    .members([
      "kind": .string("\(failure.kind)"), "code": .string(failure.code), "message": .string(failure.message),
      "status": .int(Int64(failure.status)),
    ])
  }

  private func shown(_ pairs: [SignedRequest.Pair]) -> JSONValue {
    .array(pairs.map { .array([.string($0.name), .string($0.value)]) })
  }

  private func text(_ asked: JSONValue, _ name: String) -> String { asked[name]?.string ?? "" }

  private func pairs(_ value: JSONValue?) -> [SignedRequest.Pair] {
    (value?.array ?? []).compactMap { pair in
      guard let parts = pair.array, parts.count == 2, let name = parts[0].string, let value = parts[1].string else { return nil }
      return SignedRequest.Pair(name, value)
    }
  }

  /// In hexadecimal digits.
  private func bytes(_ value: JSONValue?) -> [UInt8] {
    let digits = Array((value?.string ?? "").utf8)
    return stride(from: 0, to: digits.count - digits.count % 2, by: 2).compactMap {
      UInt8(String(decoding: digits[$0..<($0 + 2)], as: UTF8.self), radix: 16)
    }
  }

  private func keys(_ value: JSONValue?) -> AWSCredentials {
    AWSCredentials(
      accessKeyID: value?["id"]?.string ?? "", secretAccessKey: value?["secret"]?.string ?? "", sessionToken: value?["token"]?.string)
  }
}
