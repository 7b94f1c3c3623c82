import WeirAWS
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
  /// Which of the places above a lake's path hold tables or lakes, as far as a few requests show it; empty: nothing is asked.
  /// - Throws: `config`.
  func found(above path: String, _ place: PlacePath, settings: [String: String], _ effects: LakeEffects) async throws(WeirError)
    -> PlacesAbove
}

/// What is above a place.
struct PlacesAbove: Sendable {
  /// With a `_delta_log` in them.
  var tables: Set<PlacePath> = []
  /// With a `_weir` in them.
  var lakes: Set<PlacePath> = []
  /// Why the rest is not known; nil: all is, or may not be listed.
  var unanswered: WeirError?
}

extension ObjectStoreAdapter {
  func found(above path: String, _ place: PlacePath, settings: [String: String], _ effects: LakeEffects) async throws(WeirError)
    -> PlacesAbove
  { PlacesAbove() }
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

  /// - Throws: `config` where the settings name no service, or a bucket that it cannot have.
  static func sender(_ settings: S3Settings) async throws(WeirError) -> any AWSSender {
    let sender = try await AWSWiring.client(of: .s3, endpoint: settings.endpoint, region: settings.region)
    try settings.checkBucket(at: sender.endpoint)
    return sender
  }

  func open(_ path: String, settings options: [String: String], _ effects: LakeEffects) async throws(WeirError) -> any ObjectStore {
    let settings = try S3Settings(try S3Location(path), options: options)
    let sender = try await S3Adapter.sender(settings)
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
    let sender = try await S3Adapter.sender(settings)
    return await BucketExamination(settings, sender: sender).run()
  }

  /// Requests at the start of a command that writes.
  private static let looksMax = 5

  /// The nearest first. What may not be listed there, or does not answer soon, is not known, and no error.
  func found(
    above path: String, _ place: PlacePath, settings options: [String: String], _ effects: LakeEffects
  ) async throws(WeirError) -> PlacesAbove {
    let settings = try S3Settings(try S3Location(path), options: options)
    let sender = try await S3Adapter.sender(settings)
    let above = S3Above(settings, sender: sender, clock: effects.clock, random: effects.random)
    var found = PlacesAbove()
    for look in PlaceCheck.looks(above: place).prefix(S3Adapter.looksMax) {
      let prefix = look.path.steps.joined(separator: "/")
      let name = look.isLake ? PlaceCheck.ledgers : PlaceCheck.log
      let answer: Bool?
      do { answer = try await ServicePatience.looking { try await above.holds(name, below: prefix) } } catch {
        found.unanswered = error as? WeirError
        break
      }
      guard let isThere = answer else { break }
      guard isThere else { continue }
      if look.isLake { found.lakes.insert(look.path) } else { found.tables.insert(look.path) }
    }
    return found
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
