import Foundation
import Testing
import WeirCore
import WeirRedisSettings

@testable import WeirConfiguration
@testable import WeirPlan

/// `store: {redis: …}`.
struct RedisSectionTests {
  private func load(_ store: String) throws -> LoadedPipeline {
    try loadPipeline(
      yaml: """
        pipeline: k
        source: {capture: {stream: s}}
        record: {format: json, key: user, fields: {user: string!}}
        state: {u: {by: [user], measure: {rows: count()}}}
        store: \(store)
        """, file: "/plans/k.yaml", sections: .standard)
  }

  @Test(arguments: [
    ("{redis: 'redis://cache'}", "redis://cache:6379/0"), ("{redis: 'rediss://cache:7000/3', flush: 1s}", "rediss://cache:7000/3"),
    ("{redis: {url: 'redis://cache', prefix: ads}}", "redis://cache:6379/0?prefix=ads"),
    ("{redis: {env: WEIR_UNSET}}", "redis://?url_env=WEIR_UNSET"),
    (
      "{redis: {url: {env: WEIR_UNSET}, timeout: 2s, password: {env: WEIR_UNSET2}}}",
      "redis://?timeout_ms=2000&url_env=WEIR_UNSET&password_env=WEIR_UNSET2"
    ), ("{redis: {url: 'redis://me@cache', password: {file: p}}}", "redis://me@cache:6379/0?password_file=/plans/p"),
    (
      "{redis: {url: 'rediss://cache', user: {env: WEIR_UNSET}, password: {env: WEIR_UNSET}, tls: {ca: ca.pem, verify_host: false}}}",
      "rediss://cache:6379/0?user_env=WEIR_UNSET&password_env=WEIR_UNSET&ca=/plans/ca.pem&verify_host=false"
    ),
  ])
  func `a server is read, kept in the plan's document, and means nothing for its rows`(_ store: String, _ place: String) throws {
    let plan = try load(store).plan
    #expect((plan.store.settings as? RedisSettings)?.place == place)
    let decoder = JSONDecoder()
    decoder.userInfo[.adapters] = PlanSections.standard.types
    #expect(try decoder.decode(Plan.self, from: JSONEncoder().encode(plan)) == plan)
    #expect(PlanMeaning.text(plan) == PlanMeaning.text(try load("{lmdb: ./state}").plan))
  }

  @Test func `variables that are not set are known, and the plan can be shown`() throws {
    let unset = try load("{redis: {url: {env: WEIR_UNSET}, password: {env: WEIR_UNSET2}}}").unset
    #expect(unset.map(\.setting) == ["store.redis.url", "store.redis.password"])
  }

  @Test(arguments: [
    ("{redis: cache}", "bad_value"), ("{redis: 'redis://u:secret@cache'}", "bad_value"), ("{redis: 'redis://me@cache'}", "bad_value"),
    ("{redis: 'redis://cache?prefix=a'}", "bad_value"), ("{redis: 'redis://cache/x'}", "bad_value"),
    ("{redis: {prefix: a}}", "missing_key"),
    ("{redis: {url: 'redis://cache', prefix: 'a b'}}", "bad_value"), ("{redis: {url: 'redis://cache', password: secret}}", "bad_value"),
    ("{redis: {url: 'redis://cache', tls: {ca: c}}}", "bad_value"), ("{redis: {url: 'redis://cache', timeout: 1ms}}", "bad_value"),
    ("{redis: {url: 'redis://cache', nonsense: 1}}", "unknown_key"), ("{redis: {url: 'redis://cache', timeout: x}}", "bad_duration"),
    ("{redis: 'redis://cache', lmdb: ./state}", "bad_value"), ("{redis: 'redis://'}", "bad_value"), ("{redis: [a]}", "bad_value"),
  ])
  func `a setting that cannot be is refused, and a secret is not repeated`(_ store: String, _ code: String) {
    let error = #expect(throws: ConfigurationError.self) { try load(store) }
    #expect(error?.diagnostics.map(\.code) == [code], "\(store): \(error?.description ?? "")")
    #expect(error?.description.contains("secret@") == false)
  }

  @Test func `a word that is nearly a setting is named`() {
    let error = #expect(throws: ConfigurationError.self) { try load("{redsi: 'redis://cache'}") }
    #expect(error?.diagnostics.first?.suggestion == "redis")
  }
}
