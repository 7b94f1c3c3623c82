import Foundation
import Testing
import WeirCore

@testable import WeirConfiguration
@testable import WeirPlan

/// Ledgers keep the hashes of their plans: a version that gives a pipeline file another hash would refuse the ledgers of all that came
/// before. The hashes here are of the version before adapters had settings of their own.
@Suite struct PlanHashTests {
  private static func yaml(_ source: String) -> String {
    """
    pipeline: k
    source: {\(source)}
    record:
      format: json
      key: user
      time: {field: at, out_of_order: 2s}
      fields: {user: string!, id: int64!, at: timestamp_s!, amount: int64!}
    dedup: {id: id}
    bronze: {}
    gold: {users: {by: [user], window: {tumbling: 4s}, measure: {rows: count()}}}
    state: {u: {by: [user], measure: {rows: count()}}}
    """
  }

  @Test(arguments: [
    (#"capture: {stream: s}"#, "8e2e6e8897b72431caa2c1d91bef2b5819a7f22de00243491319b5e71cc789bc"),
    (#"capture: {stream: s, deal: md5}"#, "41e3185375bb5d7ba58272036809a0623fbc9aa517914b550dc38e02900a2ad1"),
    (#"kafka: {brokers: "b:1", topic: t, group: g}"#, "68c1c706a03b05da723d1e11da11d1d75c34dd8dafbba02e99a074b4d614550b"),
    (
      #"kafka: {brokers: "b:1", topic: t, group: g, partitioner: crc32}"#,
      "1068b2c0c22dff091fd5d88df7f659610487cbb4e9eda3556ae78d24fcac6829"
    ),
    (#"kafka: {brokers: "b:1", topic: t, group: g, misplaced: merge}"#, "4582ec866a5c527bd30248516ca0acfaddeb4aed6d6c56afdc4a6df06e84d7b0"),
    (
      #"kafka: {brokers: "b:1", topic: t, group: g, misplaced: per_shard}"#,
      "0ede7d25c49d9437b35837e8c985940053f0b0877b33a9f58185e7a4eda9d4a6"
    ),
    (
      #"kafka: {brokers: "b:1", topics: [a, b], stream: s, group: g, misplaced: merge}"#,
      "66d2bb05afe949d2f6ddd86673652f09a9bcee356b400575d482fc282e803e51"
    ),
    (
      #"kafka: {brokers: "b:1", topics: ["^x.*"], stream: s, group: g, misplaced: merge}"#,
      "4d06050b249e6ab0ea5736ff3d0848a87f149591a5b21cf2a02d43c6f0d7b615"
    ),
    (
      #"kafka: {brokers: "b:1", topic: t, group: g, start: latest, assignment: cooperative, instance: i, session: 10s, idle: 5s, refresh: 7s, queue: 64MiB, tls: {}}"#,
      "68c1c706a03b05da723d1e11da11d1d75c34dd8dafbba02e99a074b4d614550b"
    ),
  ]) func aSourceGivesThePlanTheHashThatItAlwaysHad(_ source: String, _ hash: String) throws {
    let plan = try loadPipeline(yaml: PlanHashTests.yaml(source), file: "k.yaml").plan
    #expect(PlanMeaning.hash(plan).hex == hash, "\(PlanMeaning.text(plan))")
    let decoder = JSONDecoder()
    decoder.userInfo[.adapters] = PlanSections.standard.types
    let again = try decoder.decode(Plan.self, from: Data(PlanMeaning.text(plan).utf8))
    #expect(PlanMeaning.hash(again).hex == hash, "read from a ledger")
  }

  @Test(arguments: [
    ("ads-q2", "ae8a0916c1cf3210c21aa5609398fa4f88ffd48f5c196fe3a0b4d8567ef036cd"),
    ("ads-q4", "7944a6558e8d5c2a58484e7ccda5b5bb3017d0e23af2a3de363fc63d0bb000dc"),
    ("flights", "f9a134cb1701b30a8924eca4fb00c538af7b4e8d39072eaf3c960732a80430a5"),
    ("synthetic", "2a1ff291863b0664d1d2f7be0534b729cd75fa546fa5d48fbde610dc7bd8ec3b"),
    ("wikipedia-edits", "03f2c69430c73c32d637d8654563007c308e468d2cebb8aa98a827f72cb4ad3b"),
  ]) func thePipelinesOfTheProjectKeepTheirHashes(_ name: String, _ hash: String) throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let plan = try loadPipeline(file: root.appendingPathComponent("Deploy/Pipelines/\(name).yaml").path, sections: .standard).plan
    #expect(PlanMeaning.hash(plan).hex == hash)
  }
}
