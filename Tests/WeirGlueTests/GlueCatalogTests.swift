import Testing
import WeirAWS
import WeirCore
import WeirTesting

@testable import WeirGlue
@testable import WeirGlueSettings

@Suite struct GlueCatalogTests {
  private let model = GlueModel()
  private let views = CatalogTable(
    path: "gold/Ad-Views",
    columns: [
      ColumnSchema("Ad_ID", .string), ColumnSchema("views", .int64), ColumnSchema("spent", .decimal(precision: 18, scale: 2)),
      ColumnSchema("at", .timestamp),
    ], location: "s3://bucket/lake/gold/Ad-Views")

  private func catalog(_ change: (inout GlueSettings) -> Void = { _ in }, pipeline: String = "ads") -> GlueCatalog {
    var settings = GlueSettings(database: "lake")
    change(&settings)
    return GlueCatalog(settings, pipeline: pipeline, sender: model, clock: ManualClock(.moves), random: FixedRandom())
  }

  private struct FixedRandom: RandomSource {
    func next() -> UInt64 { 4 }
  }

  private func registered() async throws -> GlueCatalog {
    let catalog = catalog()
    try await catalog.prepare()
    #expect(try await catalog.register(views) == .created)
    return catalog
  }

  @Test func `a database and a table are made as Athena reads them`() async throws {
    let catalog = try await registered()
    #expect(catalog.name(of: views) == "lake.gold_ad_views")
    #expect(model.columns("gold_ad_views") == ["ad_id string", "views bigint", "spent decimal(18,2)", "at timestamp"])
    let table = model.table("gold_ad_views")
    let storage = table?["StorageDescriptor"]
    #expect(table?["TableType"]?.string == "EXTERNAL_TABLE" && table?["PartitionKeys"] == .array([]))
    #expect(storage?["Location"]?.string == "s3://bucket/lake/gold/Ad-Views/")
    #expect(storage?["SerdeInfo"]?["Parameters"]?["path"]?.string == "s3://bucket/lake/gold/Ad-Views/")
    let parameters = table?["Parameters"]
    for (name, value) in [("EXTERNAL", "TRUE"), ("spark.sql.sources.provider", "delta"), ("table_type", "delta"), ("weir.pipeline", "ads")]
    {
      #expect(parameters?[name]?.string == value, "\(name)")
    }
    #expect(model.requests == ["GetDatabase", "CreateDatabase", "GetTable", "CreateTable"])
  }

  @Test func `a table that is as it should be is only read`() async throws {
    let catalog = try await registered()
    try await catalog.prepare()
    #expect(try await catalog.register(views) == .none)
    #expect(model.requests.suffix(2) == ["GetDatabase", "GetTable"])
  }

  @Test func `a look says what workers will find, and changes nothing`() async throws {
    func words(_ findings: [StoreFinding]) -> [String] { findings.map { $0.what + ($0.problem.map { ": " + $0 } ?? "") } }
    #expect(words(await catalog().examine([views])) == ["the database is not there yet: the first worker creates it"])
    let refused = await catalog { $0.create = false }.examine([views])
    #expect(refused.count == 1 && refused[0].problem?.contains("create: false") == true)
    let catalog = try await registered()
    var other = views
    other.path = "gold/other"
    #expect(words(await catalog.examine([views, other])).last?.hasPrefix("1 of 2 tables are registered") == true)
    let foreign = await self.catalog(pipeline: "orders").examine([views])
    #expect(foreign.contains { $0.problem?.contains("of the pipeline ads") == true })
    model.with { $0.faults["GetTable"] = [.failure(AWSFailure(.fatal, code: "AccessDeniedException", message: "no", status: 400))] }
    let denied = await catalog.examine([views, other])
    #expect(denied.last?.problem?.contains("glue:GetTable") == true && denied.count == 2)
    #expect(model.requests.filter { !$0.hasPrefix("Get") } == ["CreateDatabase", "CreateTable"])
  }

  @Test func `new columns are registered, and what others wrote stays`() async throws {
    let catalog = try await registered()
    model.with { state in
      guard var table = state.databases["lake"]?["gold_ad_views"] else { return }
      let changed = (table.input.members ?? []).map { member in
        member.name == "Parameters"
          ? JSONValue.Member("Parameters", .object((member.value.members ?? []) + [.init("owner", .string("Ana"))]))
          : member.name == "Description" ? .init("Description", .string("ours and theirs")) : member
      }
      table.input = .object(changed)
      state.databases["lake"]?["gold_ad_views"] = table
    }
    #expect(try await catalog.register(views) == .none, "others may add parameters")
    var grown = views
    grown.columns.insert(ColumnSchema("clicks", .int64), at: 2)
    grown.columns.append(ColumnSchema("tags", .list(element: .string)))
    #expect(try await catalog.register(grown) == .updated)
    #expect(
      model.columns("gold_ad_views") == [
        "ad_id string", "views bigint", "clicks bigint", "spent decimal(18,2)", "at timestamp", "tags array<string>",
      ])
    let table = model.table("gold_ad_views")
    #expect(table?["Parameters"]?["owner"]?.string == "Ana" && table?["Description"]?.string == "ours and theirs")
    #expect(try await catalog.register(views) == .none, "a worker with an older plan takes no column away")
    #expect(model.columns("gold_ad_views").count == 6)
  }

  @Test func `a changed type is registered`() async throws {
    let catalog = try await registered()
    var changed = views
    changed.columns[2] = ColumnSchema("spent", .decimal(precision: 38, scale: 2))
    #expect(try await catalog.register(changed) == .updated)
    #expect(model.columns("gold_ad_views")[2] == "spent decimal(38,2)")
  }

  @Test func `a table of another program, pipeline or lake is left alone`() async throws {
    let catalog = try await registered()
    let mine = model.table("gold_ad_views")
    var elsewhere = views
    elsewhere.location = "s3://bucket/staging/gold/Ad-Views"
    for (other, table, text) in [(self.catalog(pipeline: "orders"), views, "of the pipeline ads"), (catalog, elsewhere, "another lake")] {
      let error = await #expect(throws: WeirError.self) { try await other.register(table) }
      #expect(error?.code == .foreignTable && error?.message.contains(text) == true, "\(error as Any)")
    }
    let foreign = JSONValue.members(["Name": .string("gold_ad_views"), "Parameters": .members(["owner": .string("Ana")])])
    model.with { $0.databases["lake"]?["gold_ad_views"] = GlueModel.Table(input: foreign) }
    let error = await #expect(throws: WeirError.self) { try await catalog.register(views) }
    #expect(error?.code == .foreignTable && error?.message.contains("another program") == true)
    #expect(mine != nil && model.table("gold_ad_views") == foreign && !model.requests.contains("UpdateTable"))
  }

  @Test func `workers that register at the same time end with one table and the columns of both plans`() async throws {
    try await catalog().prepare()
    var newer = views
    newer.columns.append(ColumnSchema("clicks", .int64))
    try await withThrowingTaskGroup(of: Void.self) { group in
      for i in 0..<8 {
        group.addTask { [newer] in
          let worker = catalog()
          try await worker.prepare()
          _ = try await worker.register(i % 2 == 0 ? views : newer)
        }
      }
      try await group.waitForAll()
    }
    #expect(model.columns("gold_ad_views").suffix(2) == ["at timestamp", "clicks bigint"])
  }

  @Test func `a change between our read and our write is not lost`() async throws {
    let catalog = try await registered()
    var grown = views
    grown.columns.append(ColumnSchema("clicks", .int64))
    model.with {
      $0.faults["UpdateTable"] = [
        .after { state in
          guard var table = state.databases["lake"]?["gold_ad_views"], var members = table.input.members else { return }
          members.append(.init("Owner", .string("Ana")))
          (table.input, table.version) = (.object(members), table.version + 1)
          state.databases["lake"]?["gold_ad_views"] = table
        }
      ]
    }
    #expect(try await catalog.register(grown) == .updated)
    #expect(model.table("gold_ad_views")?["Owner"]?.string == "Ana" && model.columns("gold_ad_views").count == 5)
  }

  @Test func `lost replies, and a table that is gone again, are made good`() async throws {
    let catalog = catalog()
    model.with { $0.faults["CreateDatabase"] = [.lostReply] }
    try await catalog.prepare()
    model.with { $0.faults["CreateTable"] = [.lostReply] }
    #expect(try await catalog.register(views) == .none && model.columns("gold_ad_views").count == 4)
    var grown = views
    grown.columns.append(ColumnSchema("clicks", .int64))
    model.with { $0.faults["UpdateTable"] = [.after { $0.databases["lake"] = [:] }] }
    #expect(try await catalog.register(grown) == .created && model.columns("gold_ad_views").count == 5)
  }

  @Test func `others that change a table for ever end the attempt`() async throws {
    let catalog = try await registered()
    var grown = views
    grown.columns.append(ColumnSchema("clicks", .int64))
    let conflict = AWSFailure(.fatal, code: "ConcurrentModificationException", message: "m", status: 400)
    model.with { $0.faults["UpdateTable"] = Array(repeating: .failure(conflict), count: 50) }
    let error = await #expect(throws: WeirError.self) { try await catalog.register(grown) }
    #expect(error?.code == .unavailable && model.requests.count { $0 == "UpdateTable" } == 5)
  }

  @Test func `a missing database that is not to be made, and refused requests, are errors with advice`() async throws {
    let missing = await #expect(throws: WeirError.self) { try await catalog { $0.create = false }.prepare() }
    #expect(missing?.code == .config && !model.requests.contains("CreateDatabase"))
    for (code, kind, wanted) in [
      ("AccessDeniedException", AWSFailure.Kind.fatal, WeirError.Code.storageRefused), ("InvalidInputException", .fatal, .storageRefused),
      ("ThrottlingException", .retriable, .unavailable),
    ] {
      model.with { $0.faults["GetDatabase"] = [.failure(AWSFailure(kind, code: code, message: "m", status: 400))] }
      let error = await #expect(throws: WeirError.self) { try await catalog().prepare() }
      #expect(error?.code == wanted && error?.message.contains("lake") == true, "\(code): \(error as Any)")
    }
  }

  @Test func `types have Hive's names`() {
    let nested: ColumnType = .structure(members: [.init("A", .int64), .init("b", .list(element: .map(value: .double)))])
    let wanted: [(ColumnType, String)] = [
      (.bool, "boolean"), (.int64, "bigint"), (.double, "double"), (.string, "string"), (.binary, "binary"), (.timestamp, "timestamp"),
      (.decimal(precision: 38, scale: 4), "decimal(38,4)"), (nested, "struct<a:bigint,b:array<map<string,double>>>"),
    ]
    for (type, name) in wanted { #expect(GlueTable.type(type) == name) }
  }

  @Test func `names that Athena does not find are refused, and tables get names that it finds`() throws {
    for name in ["", "Lake", "my-lake", "lake.a", "lake a", "läke", String(repeating: "a", count: 256)] {
      let problem = #expect(throws: GlueSettings.Problem.self) { try GlueSettings(["database": name]) }
      #expect(problem?.option == .database)
    }
    for (options, option) in [
      (["database": "l", "prefix": "A-"], GlueSettings.Option.prefix), (["database": "l", "create": "perhaps"], .create),
    ] {
      #expect(throws: GlueSettings.Problem.self) { try GlueSettings(options) }
      #expect((try? GlueSettings(options)) == nil && GlueSettings.Option.allCases.contains(option))
    }
    let all = ["database": "l", "prefix": "p_", "create": "false", "region": "eu-west-1", "endpoint": "http://h:1"]
    #expect(try GlueSettings(all).options == all && GlueSettings(["database": "l"]).options == ["database": "l"])
    #expect(GlueNames.table("silver/Ad-Events.v2", prefix: "p_") == "p_silver_ad_events_v2")
    #expect(GlueNames.problem([("gold/a-b", []), ("gold/a_b", [])], prefix: "")?.contains("gold_a_b") == true)
    #expect(GlueNames.problem([("gold/a", ["User", "user"])], prefix: "")?.contains("case") == true)
    #expect(GlueNames.problem([("gold/a", ["user"]), ("gold/b", ["user"])], prefix: "") == nil)
    #expect(GlueNames.problem([("gold/a", [])], prefix: String(repeating: "p", count: 250)) != nil)
  }
}
