import WeirConfiguration
import WeirCore
import WeirDelta
import WeirLocal
import WeirOperators
import WeirPlan
import WeirProtocol
import WeirS3
import WeirS3Settings

/// A kind of place where lakes are.
protocol ObjectStoreAdapter: Sendable {
  var name: String { get }
  /// Whether a lake's path is of this kind.
  func accepts(_ path: String) -> Bool
  /// - Parameter settings: by the adapter's own names.
  /// - Throws: `config`.
  func open(_ path: String, settings: [String: String], _ effects: LakeEffects) async throws(WeirError) -> any ObjectStore
  /// What a lake costs; empty: nothing but the machine.
  func costs(_ path: String, _ question: CostQuestion) -> [ServiceCost]
  /// Settings of the store that would harm a lake; empty: there are none to look at.
  /// - Throws: `config`.
  func examine(_ path: String, settings: [String: String], _ effects: LakeEffects) async throws(WeirError) -> [StoreFinding]
}

extension ObjectStoreAdapter {
  func costs(_ path: String, _ question: CostQuestion) -> [ServiceCost] { [] }
  func examine(_ path: String, settings: [String: String], _ effects: LakeEffects) async throws(WeirError) -> [StoreFinding] { [] }
}

/// What a lake's store needs of the machine.
package struct LakeEffects: Sendable {
  let threads: BlockingThreads
  let clock: SystemClock
  let random: SystemRandom

  package init(threads: BlockingThreads, clock: SystemClock, random: SystemRandom) {
    (self.threads, self.clock, self.random) = (threads, clock, random)
  }

  /// For what is read before there is a lake.
  package static func own() -> LakeEffects {
    LakeEffects(threads: BlockingThreads(count: 1), clock: SystemClock(), random: SystemRandom())
  }
}

/// Directories of this machine: what no other kind accepts.
struct DirectoryAdapter: ObjectStoreAdapter {
  let name = "directory"

  func accepts(_ path: String) -> Bool { true }

  func open(_ path: String, settings: [String: String], _ effects: LakeEffects) async throws(WeirError) -> any ObjectStore {
    guard settings.isEmpty else {
      throw WeirError(
        .config, "the lake \(path) is a directory, and has settings of S3",
        advice: "Remove them, or name a bucket: s3://BUCKET/PREFIX.")
    }
    return LocalObjectStore(root: path, threads: effects.threads, random: effects.random)
  }
}

/// `s3://bucket/prefix`: S3, and stores with its interface.
struct S3Adapter: ObjectStoreAdapter {
  let name = "s3"

  func accepts(_ path: String) -> Bool { S3Location.accepts(path) }

  func open(_ path: String, settings options: [String: String], _ effects: LakeEffects) async throws(WeirError) -> any ObjectStore {
    let settings = try S3Settings(try S3Location(path), options: options)
    let sender = try await AWSWiring.client(of: .s3, endpoint: settings.endpoint, region: settings.region)
    return S3ObjectStore(settings, sender: sender, clock: effects.clock, random: effects.random)
  }

  func costs(_ path: String, _ question: CostQuestion) -> [ServiceCost] {
    let plan = question.plan.plan
    let rowTables = plan.tables.count { $0.kind.isOfRecords }
    return [
      S3Cost.service(
        path, question.activity, question.inputs, keepSeconds: Double(plan.lake.ledgerKeepMicroseconds) / 1e6,
        rowTables: Double(rowTables))
    ]
  }

  func examine(_ path: String, settings options: [String: String], _ effects: LakeEffects) async throws(WeirError) -> [StoreFinding] {
    let settings = try S3Settings(try S3Location(path), options: options)
    let sender = try await AWSWiring.client(of: .s3, endpoint: settings.endpoint, region: settings.region)
    return await BucketExamination(settings, sender: sender).run()
  }
}

/// A format of tables, as the runtime uses it.
protocol TableFormatAdapter: Sendable {
  /// The type of its settings.
  var settings: any TableFormatSettings.Type { get }
  /// Reads its part of a pipeline file.
  var section: any TableFormatSection { get }
  /// - Parameter settings: nil: the plan names no format.
  func format(_ settings: (any TableFormatSettings)?) -> any TableFormat
}

extension TableFormatAdapter {
  /// The word of `lake.format`.
  var name: String { settings.adapter }
}

/// `lake: {format: delta}`.
struct DeltaAdapter: TableFormatAdapter {
  var settings: any TableFormatSettings.Type { DeltaSettings.self }
  var section: any TableFormatSection { DeltaSection() }

  func format(_ settings: (any TableFormatSettings)?) -> any TableFormat { DeltaFormat() }
}
