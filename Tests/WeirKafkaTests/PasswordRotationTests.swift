import CKafka
import Synchronization
import Testing
import WeirCore

@testable import WeirKafka

@Suite struct PasswordRotationTests {
  private static let second: Int64 = 1_000_000_000

  private func provider(_ name: String, _ value: Box) -> Secret {
    .provided(
      SecretProvider(
        name, read: { () throws(WeirError) in try value.read(name) }, current: { value.now },
        refused: { value.refusals.add(1, ordering: .relaxed) }))
  }

  @Test func `what is known is applied when it changes, once`() {
    let first = PasswordRotation.Standing.Pair(user: "u", password: "p")
    let second = PasswordRotation.Standing.Pair(user: "u", password: "q")
    var standing = PasswordRotation.Standing(first, at: 0)
    let seen = [(first, 1), (second, 2), (second, 3)].map { standing.saw($0.0, at: Int64($0.1)) }
    #expect(seen == [nil, second, nil] && standing.applied == second)
  }

  @Test func `a fresh password that is refused is final, an older one after half a minute`() {
    let pair = PasswordRotation.Standing.Pair(user: "u", password: "p")
    var standing = PasswordRotation.Standing(pair, at: 0)
    func passes(_ seconds: Int64) -> Bool { standing.refused(at: seconds * PasswordRotationTests.second) }
    let first = [9, 100, 129, 130].map { passes($0) }
    #expect(first == [false, true, true, false])
    _ = standing.saw(.init(user: "u", password: "q"), at: 131 * PasswordRotationTests.second)
    let second = [132, 160].map { passes($0) }
    #expect(second == [false, true])
  }

  @Test func `only secrets that may change make a rotation, and a client takes new ones`() throws {
    let value = Box("first-password")
    #expect(PasswordRotation(.plain(user: .file("/u"), password: .file("/p"))) == nil && PasswordRotation(nil) == nil)
    let password = provider("the secret x", value)
    let user = provider("the secret y", Box("weir"))
    #expect("\(password)" == "the secret x")
    var connection = KafkaConnection(brokers: "127.0.0.1:1")
    connection.sasl = .scram(.sha512, user: user, password: password)
    let configuration = KafkaConfiguration()
    try configuration.set(connection)
    let redactor = configuration.redactor
    #expect(redactor.clean("it was first-password") == "it was [redacted]")
    let client = try KafkaClient(RD_KAFKA_PRODUCER, configuration, connection: connection, observer: KafkaObserver())
    defer { rd_kafka_destroy(client.handle) }
    let rotation = try #require(PasswordRotation(connection.sasl))
    rotation.look(client.handle, redactor)
    value.set("second-password")
    #expect(redactor.clean("second-password") == "second-password")
    rotation.look(client.handle, redactor)
    #expect(redactor.clean("first-password second-password") == "[redacted] [redacted]")
    _ = rotation.refused()
    #expect(value.refusals.load(ordering: .relaxed) == 1)
  }

  @Test func `a refused password that may be replaced does not end the client`() throws {
    var connection = KafkaConnection(brokers: "b:9092")
    connection.sasl = .plain(user: .file("/u"), password: .file("/p"))
    let words = "sasl_plaintext://b:9092/bootstrap: SASL authentication error: wrong password (after 3ms in state AUTH_REQ)"
    let watch = ConnectionWatch(connection)
    let passing = try #require(watch.failed(RD_KAFKA_RESP_ERR__AUTHENTICATION, words, passes: true))
    #expect(!passing.isRefusal && !watch.isRefused && passing.error("cannot read", connection).isRetriable)
    let final = try #require(watch.failed(RD_KAFKA_RESP_ERR__AUTHENTICATION, words))
    #expect(final.isRefusal && watch.isRefused)
  }
}

/// A value that a test changes.
private final class Box: Sendable {
  private let value: Mutex<String?>
  let refusals = Atomic<Int>(0)

  init(_ value: String?) { self.value = Mutex(value) }

  var now: String? { value.withLock { $0 } }
  func set(_ new: String?) { value.withLock { $0 = new } }

  func read(_ name: String) throws(WeirError) -> String {
    guard let now else { throw WeirError(.config, "\(name) is not there") }
    return now
  }
}
