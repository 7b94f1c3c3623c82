import Foundation
import Testing
import WeirCore
import WeirRedisSettings

@testable import WeirConfiguration
@testable import WeirPlan

@Suite struct CatalogSectionTests {
  private static func yaml(_ rest: String, lake: String = "s3://bucket/lake") -> String {
    """
    pipeline: ads
    source: {kafka: {brokers: "h:9092", topic: ads, group: g}}
    record: {time: {field: t, out_of_order: 1s}, fields: {k: string!, n: int64, t: timestamp_ms!}}
    silver: {}
    gold: {Per-Key: {by: [k], window: {tumbling: 1m, lateness: 1m}, measure: {n: count()}}}
    state: {totals: {by: [k], measure: {n: count()}}}
    lake: {path: "\(lake)"}

    """ + rest
  }

  private func loaded(_ rest: String) throws -> Plan { try loadPipeline(yaml: CatalogSectionTests.yaml(rest), file: "k.yaml").plan }

  private func refused(_ rest: String, lake: String = "s3://bucket/lake") -> [Diagnostic] {
    let error = #expect(throws: ConfigurationError.self, "\(rest)") {
      try loadPipeline(yaml: CatalogSectionTests.yaml(rest, lake: lake), file: "k.yaml")
    }
    return error?.diagnostics.filter { $0.severity == .error } ?? []
  }

  @Test func `a catalog is a database, or a database with settings, and changes nothing of what the plan means`() throws {
    let plain = try loaded("")
    for (text, settings) in [
      ("catalog: {glue: ads}", ["database": "ads"]),
      (
        "catalog: {glue: {database: ads, prefix: p_, create: false, region: eu-west-1, endpoint: 'http://h:1'}}",
        ["database": "ads", "prefix": "p_", "create": "false", "region": "eu-west-1", "endpoint": "http://h:1"]
      ),
    ] {
      let plan = try loaded(text)
      #expect(plan.catalog == CatalogSpec(adapter: "glue", settings: settings))
      #expect(PlanMeaning.text(plan) == PlanMeaning.text(plain))
      let decoder = JSONDecoder()
      decoder.userInfo[.adapters] = PlanSections.standard.types
      #expect(try decoder.decode(Plan.self, from: JSONEncoder().encode(plan)) == plan)
    }
    #expect(plain.catalog == nil)
  }

  @Test func `a catalog that would not work is refused with its place`() {
    for (text, lake, message) in [
      ("catalog: {glue: ads}", "./lake", "in S3"), ("catalog: {glue: Ads-DB}", "s3://bucket/lake", "lower-case"),
      ("catalog: {glue: {prefix: p_}}", "s3://bucket/lake", "database"), ("catalog: {hive: ads}", "s3://bucket/lake", "hive"),
      ("catalog: {glue: {database: ads, prefix: 'p-'}}", "s3://bucket/lake", "catalog.glue.prefix"),
      ("catalog: {glue: {database: ads, create: perhaps}}", "s3://bucket/lake", "catalog.glue.create"),
      ("catalog: {glue: {database: ads, region: 'x y'}}", "s3://bucket/lake", "catalog.glue.region"),
      ("catalog: {glue: {database: ads, endpoint: 'h:1'}}", "s3://bucket/lake", "catalog.glue.endpoint"),
      ("catalog: {}", "s3://bucket/lake", "glue"),
    ] {
      let found = refused(text, lake: lake)
      #expect(found.contains { $0.message.contains(message) && $0.line >= 8 }, "\(text): \(found.map(\.message))")
    }
  }

  @Test(arguments: ["x y", "", "eu/west", "-a"]) func `a region that cannot be one is refused in the settings of S3`(_ region: String) {
    let yaml = CatalogSectionTests.yaml("").replacing(
      "lake: {path: \"s3://bucket/lake\"}", with: "lake: {path: \"s3://bucket/lake\", s3: {region: \"\(region)\"}}")
    let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "k.yaml") }
    #expect(error?.diagnostics.contains { $0.message.contains("region") && $0.line == 7 } == true, "\(String(describing: error))")
  }

  @Test func `tables that would have one name in the catalog are refused`() {
    let yaml = CatalogSectionTests.yaml("catalog: {glue: ads}").replacing(
      "gold: {Per-Key: {by: [k], window: {tumbling: 1m, lateness: 1m}, measure: {n: count()}}}",
      with:
        "gold: {per-key: {by: [k], window: {tumbling: 1m}, measure: {n: count()}}, per_key: {by: [k], window: {tumbling: 1m}, measure: {n: count()}}}"
    )
    let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "k.yaml") }
    #expect(error?.diagnostics.contains { $0.message.contains("gold_per_key") } == true, "\(error as Any)")
  }

  // MARK: Secrets

  @Test func `secrets of AWS are named wherever a secret is`() throws {
    let plan = try loaded(
      """
      store: {redis: {url: "redis://cache", user: {ssm: /prod/user}, password: {secretsmanager: prod/redis, key: password, refresh: 1m}}}
      admin: {token: {secretsmanager: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:admin-AbCdEf"}}

      """)
    let redis = try #require(plan.store.settings as? RedisSettings)
    #expect(redis.userSecret == .stored(StoredSecret(.parameterStore, "/prod/user")))
    let password = StoredSecret(.secretsManager, "prod/redis", member: "password", refreshMicroseconds: 60_000_000)
    #expect(redis.password == .stored(password))
    #expect(try RedisSettings(place: redis.place) == redis)
    #expect(
      plan.admin?.token == .stored(StoredSecret(.secretsManager, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:admin-AbCdEf")))
    #expect(PlanMeaning.text(plan) == PlanMeaning.text(try loaded("")))
    let decoder = JSONDecoder()
    decoder.userInfo[.adapters] = PlanSections.standard.types
    #expect(try decoder.decode(Plan.self, from: JSONEncoder().encode(plan)) == plan)
  }

  @Test func `secrets whose form is wrong are refused where they stand`() {
    for (secret, message) in [
      ("{env: ''}", "not empty"), ("{env: 'A=B'}", "no ="), ("{ssm: ''}", "1 to 1024"), ("{secretsmanager: ''}", "1 to 1024"),
      ("{file: ''}", "empty"),
      ("{secretsmanager: a b}", "letters"), ("{secretsmanager: a, ssm: b}", "not both"), ("{env: A, secretsmanager: a}", "not both"),
      ("{ssm: a, key: k}", "no members"), ("{env: HOME, key: k}", "only for secrets"), ("{env: HOME, refresh: 1m}", "only for secrets"),
      ("{secretsmanager: a, refresh: 1ms}", "refresh"), ("{secretsmanager: 'arn:aws:secretsmanager:r:1:secret:n:k::'}", "key"),
      ("{}", "needs env or file"), ("plain-text", "must not be in"), ("{secretmanager: a}", "secretmanager"),
    ] {
      let found = refused("admin: {token: \(secret)}")
      #expect(found.contains { $0.message.contains(message) && $0.line == 8 && $0.column > 1 }, "\(secret): \(found)")
    }
  }
}
