import Foundation
import Testing
import WeirCore
import WeirKinesisSettings

@testable import WeirConfiguration
@testable import WeirPlan

/// `source: {kinesis: …}`.
struct KinesisSectionTests {
  private func load(_ settings: String, table: String = "bronze: {}") throws -> LoadedPipeline {
    try loadPipeline(
      yaml: """
        pipeline: k
        source: {kinesis: {\(settings)}}
        record: {format: json, key: user, time: {field: t}, fields: {user: string!, t: timestamp_ms!}}
        \(table)
        """, file: "/plans/k.yaml", sections: .standard)
  }

  @Test func `a stream is read by its name or its ARN, and how it is reached means nothing for its rows`() throws {
    let plan = try load("stream: orders, app: orders-weir").plan
    let arn = try load(
      "stream: 'arn:aws:kinesis:eu-central-1:123456789012:stream/orders', app: other, start: 2026-01-31T00:00:00Z, lease: 5s, poll: 250ms"
    ).plan
    let spec = try #require(KinesisSourceSpec.of(arn))
    #expect(arn.source.stream == "orders" && spec.settings.region == "eu-central-1" && spec.settings.start == .time(1_769_817_600_000_000))
    #expect(spec.settings.leaseMicroseconds == 5_000_000 && spec.settings.pollMicroseconds == 250_000)
    #expect(PlanMeaning.text(plan) == PlanMeaning.text(arn))
    #expect(plan.source.live?.reshards == true && plan.source.countsRecords)
    let decoder = JSONDecoder()
    decoder.userInfo[.adapters] = PlanSections.standard.types
    #expect(try decoder.decode(Plan.self, from: JSONEncoder().encode(arn)) == arn)
  }

  @Test(arguments: [
    ("app: a1b", "missing_key", 10), ("stream: s", "missing_key", 20), ("stream: 'a b', app: a1b", "bad_value", 28),
    ("stream: 'arn:aws:kinesis:x:1:stream/s', app: a1b", "bad_value", 28), ("stream: s, app: a", "bad_value", 36),
    ("stream: s, app: a1b, read: pull", "bad_value", 47), ("stream: s, app: a1b, consumer_arn: 'arn:x'", "bad_value", 55),
    ("stream: s, app: a1b, read: fan_out, consumer_arn: 'arn:x'", "bad_value", 70),
    (
      "stream: s, app: a1b, read: fan_out, consumer_arn: 'arn:aws:kinesis:eu-central-1:123456789012:stream/t/consumer/c:1'", "bad_value", 70
    ),
    ("stream: s, app: a1b, read: fan_out, poll: 1s", "bad_value", 62),
    ("stream: s, app: a1b, start: never", "bad_value", 48), ("stream: s, app: a1b, lease: 1s", "bad_duration", 48),
    ("stream: s, app: a1b, poll: 1ms", "bad_duration", 47), ("stream: s, app: a1b, region: Mars!", "bad_value", 49),
    ("stream: s, app: a1b, endpoint: 'http://u@x'", "bad_value", 51), ("stream: s, app: a1b, strem: s", "unknown_key", 41),
    ("stream: s, app: a1b, misplaced: ok", "bad_value", 52),
  ])
  func `what a user gets wrong is refused where it is`(_ settings: String, _ code: String, _ column: Int) throws {
    let error = #expect(throws: ConfigurationError.self) { try load(settings) }
    let first = try #require(error?.diagnostics.first)
    #expect(first.code == code && first.line == 2, "\(first.text)")
    if code != "missing_key" { #expect(first.column == column, "\(first.text)") }
  }

  @Test func `enhanced fan-out changes how a stream is read, and nothing of its rows`() throws {
    let plan = try load("stream: orders, app: orders-weir").plan
    let arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders/consumer/c:1700000000"
    let fanned = try load("stream: orders, app: orders-weir, read: fan_out, consumer_arn: '\(arn)'").plan
    #expect(KinesisSourceSpec.of(plan)?.settings.fanOut == nil)
    #expect(KinesisSourceSpec.of(fanned)?.settings.fanOut?.consumerARN == arn)
    #expect(PlanMeaning.text(plan) == PlanMeaning.text(fanned))
    let settings = try #require(KinesisSourceSpec.of(plan)?.settings)
    #expect(try !String(decoding: JSONEncoder().encode(settings), as: UTF8.self).contains("fanOut"))
  }

  @Test func `rows of a state table may expire where shards are split and merged`() throws {
    let plan = try load("stream: s, app: a1b", table: "state: {s: {by: [user], measure: {c: count()}, ttl: 1h}}").plan
    #expect(plan.state.map(\.ttlMicroseconds) == [3_600_000_000])
  }

  @Test func `explain says what is promised of keys`() throws {
    for (misplaced, words) in [("halt", "MD5 of user"), ("merge", "merged over the shards"), ("per_shard", "a row for each shard")] {
      let text = Explain.text(try load("stream: s, app: a1b, misplaced: \(misplaced)").plan, lookups: [])
      #expect(text.contains(words), "\(text)")
    }
  }
}
