import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirAWS

/// A model of both services: secrets by name, and what happens to the next requests.
private final class Vault: AWSSender {
  struct State {
    var texts: [String: String]
    var failures: [AWSFailure] = []
    var requests: [AWSRequest] = []
  }

  let endpoint = "https://secrets.model"
  let state: Mutex<State>

  init(_ texts: [String: String]) { state = Mutex(State(texts: texts)) }

  var count: Int { state.withLock { $0.requests.count } }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    let answer: Result<AWSResponse, AWSFailure> = state.withLock { state in
      state.requests.append(request)
      if !state.failures.isEmpty { return .failure(state.failures.removeFirst()) }
      let body = (try? JSONValue(parsing: request.body)) ?? .null
      let name = body["SecretId"]?.string ?? body["Name"]?.string ?? ""
      if name == "gone" {
        let body = JSONValue.members(["__type": .string("x#ResourceNotFoundException"), "Message": .string("hunter2")])
        return .success(AWSResponse(status: 404, body: body.bytes))
      }
      guard let text = state.texts[name] else {
        let code = request.operation == "GetParameter" ? "ParameterNotFound" : "ResourceNotFoundException"
        return .failure(AWSFailure(.fatal, code: code, message: "\(request.operation): no such thing", status: 400))
      }
      let answer: JSONValue =
        request.operation == "GetParameter"
        ? .members(["Parameter": .members(["Name": .string(name), "Value": .string(text)])])
        : .members(["Name": .string(name), "SecretString": .string(text)])
      return .success(AWSResponse(status: 200, body: answer.bytes))
    }
    return try answer.get()
  }
}

@Suite final class StoredSecretsTests: Sendable {
  private static let second: Int64 = 1_000_000_000
  private let vault = Vault([
    "prod/redis": #"{"user":"weir","password":"hunter2-secret","port":6379,"list":["hunter2-secret"]}"#, "/prod/token": "t0ken",
  ])
  private let clock = ManualClock(.ends)
  private let notices = Mutex<[String]>([])

  private func secrets() -> StoredSecrets {
    StoredSecrets(
      clock: clock, notice: { [self] in self.note($0) }, connect: { [vault] (_, _) async throws(AWSFailure) -> any AWSSender in vault })
  }

  private func note(_ error: WeirError) { notices.withLock { $0.append(error.message) } }

  private func secret(_ member: String? = nil, refresh: Int64? = nil) -> StoredSecret {
    StoredSecret(.secretsManager, "prod/redis", member: member, refreshMicroseconds: refresh)
  }

  @Test func `members of a secret and whole parameters are found, each with its request`() async throws {
    let secrets = secrets()
    #expect(try await secrets.value(secret("user")) == "weir")
    #expect(try await secrets.value(secret("password")) == "hunter2-secret")
    #expect(try await secrets.value(secret("port")) == "6379")
    #expect(try await secrets.value(secret()).hasPrefix("{"))
    #expect(try await secrets.value(StoredSecret(.parameterStore, "/prod/token")) == "t0ken")
    let requests = vault.state.withLock { $0.requests }
    #expect(requests.map(\.operation) == ["GetSecretValue", "GetParameter"])
    let targets = requests.map { $0.headers.first { $0.name == "X-Amz-Target" }?.value }
    #expect(targets == ["secretsmanager.GetSecretValue", "AmazonSSM.GetParameter"])
    #expect(try JSONValue(parsing: requests[1].body)["WithDecryption"] == .bool(true))
  }

  @Test func `a value is fetched again after its interval, not before`() async throws {
    let secrets = secrets()
    #expect(try await secrets.value(secret("user")) == "weir")
    vault.state.withLock { $0.texts["prod/redis"] = #"{"user":"new"}"# }
    clock.advance(by: 299 * StoredSecretsTests.second)
    #expect(try await secrets.value(secret("user")) == "weir" && !secrets.isDue(secret("user")))
    clock.advance(by: StoredSecretsTests.second)
    #expect(secrets.isDue(secret("user")) && secrets.known(secret("user")) == "weir")
    #expect(try await secrets.value(secret("user")) == "new" && vault.count == 2)
    clock.advance(by: 7 * StoredSecretsTests.second)
    #expect(try await secrets.value(secret("user", refresh: 7_000_000)) == "new" && vault.count == 3)
  }

  @Test func `a value that cannot be fetched again is kept, and tried at a bounded rate`() async throws {
    let secrets = secrets()
    _ = try await secrets.value(secret("user"))
    clock.advance(by: 300 * StoredSecretsTests.second)
    let failure = AWSFailure(.retriable, code: "Timeout", message: "GetSecretValue at model: too slow")
    vault.state.withLock { $0.failures = [failure, failure] }
    for _ in 0..<10 { #expect(try await secrets.value(secret("user")) == "weir") }
    #expect(vault.count == 2 && notices.withLock { $0.count } == 1)
    clock.advance(by: 5 * StoredSecretsTests.second)
    _ = try await secrets.value(secret("user"))
    #expect(vault.count == 3 && notices.withLock { $0.allSatisfy { $0.contains("prod/redis") } })
  }

  @Test func `a value that was refused is fetched again, once in five seconds at most`() async throws {
    let secrets = secrets()
    _ = try await secrets.value(secret("user"))
    vault.state.withLock { $0.texts["prod/redis"] = #"{"user":"new"}"# }
    secrets.refused(secret("user"))
    #expect(try await secrets.value(secret("user")) == "weir", "just fetched")
    clock.advance(by: 5 * StoredSecretsTests.second)
    #expect(try await secrets.value(secret("user")) == "new")
    clock.advance(by: 60 * StoredSecretsTests.second)
    #expect(try await secrets.value(secret("user")) == "new" && vault.count == 2, "one refusal, one request")
  }

  @Test func `errors name the secret and what to do, and never the value`() async throws {
    var found: [String] = []
    func fails(_ secret: StoredSecret, _ code: WeirError.Code = .config, _ text: String) async {
      let error = await #expect(throws: WeirError.self) { try await secrets().value(secret) }
      #expect(
        error?.code == code && error?.message.contains(secret.name) == true && error?.description.contains(text) == true, "\(error as Any)")
      found.append(error?.description ?? "")
    }
    await fails(secret("pin"), .config, "pin")
    await fails(secret("list"), .config, "not a text")
    await fails(StoredSecret(.secretsManager, "/prod/token", member: "x"), .config, "not a JSON object")
    await fails(StoredSecret(.secretsManager, "absent"), .config, "does not exist")
    await fails(StoredSecret(.parameterStore, "/absent"), .config, "does not exist")
    await fails(StoredSecret(.secretsManager, "gone"), .config, "does not exist")
    for (failure, code, text) in [
      (
        AWSFailure(.fatal, code: "AccessDeniedException", message: "not authorized", status: 400), WeirError.Code.config,
        "secretsmanager:GetSecretValue"
      ),
      (AWSFailure(.fatal, code: "DecryptionFailure", message: "no key", status: 400), .config, "kms:Decrypt"),
      (AWSFailure(.retriable, code: "NoConnection", message: "refused"), .unavailable, "refused"),
      (AWSFailure(.fatal, code: "Configuration", message: "no AWS region"), .config, "region"),
    ] {
      vault.state.withLock { $0.failures = [failure] }
      await fails(secret("password"), code, text)
    }
    #expect(found.allSatisfy { !$0.contains("hunter2") && !$0.contains("t0ken") })
  }

  @Test func `names that no service has are refused`() {
    let right: [StoredSecret] = [
      StoredSecret(.secretsManager, "prod/redis-1_a+b=c.d@e", member: "p"),
      StoredSecret(.secretsManager, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/redis-AbCdEf"),
      StoredSecret(.parameterStore, "/prod/token"), StoredSecret(.parameterStore, "name:3"),
      StoredSecret(.parameterStore, "arn:aws-cn:ssm:cn-north-1:111122223333:parameter/prod/token"),
    ]
    #expect(right.allSatisfy { $0.problem == nil }, "\(right.map(\.problem))")
    #expect(right.map(\.region) == [nil, "eu-west-1", nil, nil, "cn-north-1"])
    let wrong: [StoredSecret] = [
      StoredSecret(.secretsManager, ""), StoredSecret(.secretsManager, "a b"), StoredSecret(.secretsManager, "a#b"),
      StoredSecret(.secretsManager, "arn:aws:secretsmanager:eu-west-1:1:secret:n:password::"),
      StoredSecret(.secretsManager, "arn:aws:ssm:eu-west-1:1:parameter/n"), StoredSecret(.parameterStore, "n", member: "m"),
      StoredSecret(.secretsManager, "n", member: ""), StoredSecret(.parameterStore, "arn:aws:ssm:eu-west-1:1:document/n"),
      StoredSecret(.secretsManager, String(repeating: "n", count: 1025)),
    ]
    for secret in wrong { #expect(secret.problem != nil, "\(secret)") }
  }

  @Test func `the text of a secret reads back as it was written`() {
    let all = [
      secret(), secret("a#b"), secret("password", refresh: 60_000_000), StoredSecret(.parameterStore, "/prod/token"),
      StoredSecret(.secretsManager, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:n-AbCdEf", member: "x"),
    ]
    for secret in all { #expect(StoredSecret(text: secret.text) == secret, "\(secret.text)") }
    for text in ["", "x", "vault:n", "ssm:", "ssm;0:n", "ssm;x:n", "ssm;99999999:n", "secretsmanager:a b", "ssm:n#m"] {
      #expect(StoredSecret(text: text) == nil, "\(text)")
    }
  }
}
