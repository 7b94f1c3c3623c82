/// Whether a store keeps what correctness rests on: of several writers that put an object at once, exactly one creates it, and who reads
/// after a write finds it. Leaves nothing.
///
/// A race that no store loses proves nothing; so there are several, and puts one after the other besides, which a store without conditions
/// always fails.
public struct StoreCheck: Sendable {
  /// One line of the report.
  public struct Finding: Sendable, Hashable {
    public var what: String
    /// nil: it is as it should be.
    public var problem: String?
    /// What an operator should know and is no problem.
    public var notice: String?

    public init(what: String, problem: String? = nil, notice: String? = nil) {
      (self.what, self.problem, self.notice) = (what, problem, notice)
    }
  }

  /// The directory in the lake in which it works. Its names begin with `_`, so no reader of tables looks at it.
  public static let directory = "_weir_check"

  /// The directory of this check, in ``directory``. A store with directories keeps it, empty.
  public let ownDirectory: String
  private let store: any ObjectStore
  private let rounds: Int
  private let uploadBytes: Int
  private static let writers = 4

  /// - Parameters:
  ///   - rounds: races.
  ///   - uploadBytes: size of an upload; large enough that it is sent in parts.
  public init(_ store: any ObjectStore, random: any RandomSource, rounds: Int = 4, uploadBytes: Int = 9 << 20) {
    (self.store, self.rounds, self.uploadBytes) = (store, rounds, uploadBytes)
    ownDirectory = "\(StoreCheck.directory)/\(Hash128(low: random.next(), high: random.next()).hex)"
  }

  /// - Parameter report: gets each line of the report when it is known.
  /// - Returns: what was checked, in order. A store with a problem must not be used. One that cannot be reached, or refuses the first
  ///   write, has one line: the other checks would say the same.
  @discardableResult
  public func run(_ report: (Finding) -> Void = { _ in }) async -> [Finding] {
    let directory = ownDirectory
    var paths: [String] = []
    var findings: [Finding] = []
    /// - Returns: false: the store did not do what it was asked to.
    func check(_ what: String, times: Int = 1, _ body: (String) async throws -> String?) async -> Bool {
      var finding = Finding(what: what)
      var isUsable = true
      for _ in 0..<times where finding.problem == nil {
        let path = "\(directory)/\(paths.count) a=b+c%20ü"
        paths.append(path)
        do { finding.problem = try await body(path) } catch {
          finding.problem = "\(error)"
          isUsable = false
        }
      }
      findings.append(finding)
      report(finding)
      return isUsable
    }
    if await check("puts an object, reads it, and keeps it when it is put again", inOrder) {
      _ = await check("lets one of \(StoreCheck.writers) puts at once win", times: rounds, race)
      _ = await check("lets one of two uploads at once win", uploads)
      _ = await check("lists objects in order, with those that were just made") { _ in try await listing(directory, paths) }
      _ = await check("deletes objects", deletion)
    }
    for path in paths { try? await store.delete(path) }
    return findings
  }

  /// A put whose outcome is not known.
  private struct Unclear: Error, CustomStringConvertible {
    var why: String
    var description: String { why }
  }

  // MARK: Checks

  private static func bytes(_ writer: Int) -> [UInt8] { Array("writer \(writer)".utf8) }

  private func inOrder(_ path: String) async throws -> String? {
    let first = await store.putIfAbsent(NewObject(path: path, bytes: StoreCheck.bytes(1)))
    if case .unknown(let why) = first { throw Unclear(why: why) }
    guard first == .created else { return "a new object was not created: \(StoreCheck.text(first))" }
    guard try await store.get(path) == StoreCheck.bytes(1) else { return "an object that was just made is not there, or is another" }
    let second = await store.putIfAbsent(NewObject(path: path, bytes: StoreCheck.bytes(2)))
    guard second == .exists else {
      return "a put of an object that is there ended as \(StoreCheck.text(second)): \(StoreCheck.noConditions)"
    }
    guard try await store.get(path) == StoreCheck.bytes(1) else { return "an object was overwritten: \(StoreCheck.noConditions)" }
    guard try await store.get(path, offset: 2, count: 3) == Array("ite".utf8) else { return "a part of an object is not what it should be" }
    return nil
  }

  private static let noConditions = "the store does not keep the condition of a put"

  private func race(_ path: String) async throws -> String? {
    let store = store
    let outcomes = await withTaskGroup(of: PutOutcome.self) { group in
      for writer in 0..<StoreCheck.writers {
        group.addTask { await store.putIfAbsent(NewObject(path: path, bytes: StoreCheck.bytes(writer))) }
      }
      return await group.reduce(into: [PutOutcome]()) { $0.append($1) }
    }
    return judged(outcomes)
  }

  private func uploads(_ path: String) async throws -> String? {
    let (store, size) = (store, uploadBytes)
    let outcomes = try await withThrowingTaskGroup(of: PutOutcome.self) { group in
      for writer: UInt8 in 0..<2 {
        group.addTask {
          let upload = try await store.upload(path)
          do {
            try await upload.append([UInt8](repeating: writer, count: size))
          } catch {
            await upload.abandon()
            throw error
          }
          return await upload.finish()
        }
      }
      return try await group.reduce(into: [PutOutcome]()) { $0.append($1) }
    }
    if let problem = judged(outcomes) { return problem }
    let upload = try await store.upload(path)
    try await upload.append([UInt8](repeating: 2, count: size))
    let third = await upload.finish()
    guard third == .exists else {
      return "an upload of an object that is there ended as \(StoreCheck.text(third)): \(StoreCheck.noConditions)"
    }
    return nil
  }

  private func judged(_ outcomes: [PutOutcome]) -> String? {
    if let unclear = outcomes.first(where: { $0 != .created && $0 != .exists }) { return "a put ended as \(StoreCheck.text(unclear))" }
    let winners = outcomes.filter { $0 == .created }.count
    if winners == 1 { return nil }
    return winners == 0
      ? "none of \(outcomes.count) writers created the object"
      : "\(winners) of \(outcomes.count) writers created the same object: entries of the ledger would be lost"
  }

  private func listing(_ directory: String, _ paths: [String]) async throws -> String? {
    // This check's own path has no object.
    let wanted = paths.dropLast().sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    let found = try await store.list(directory + "/").map(\.path)
    guard found == wanted else { return "\(found.count) objects are listed, and not the \(wanted.count) that were made, in their order" }
    guard let last = wanted.last, try await store.list(directory + "/", from: last).map(\.path) == [last] else {
      return "a listing does not begin where it is asked to"
    }
    return nil
  }

  private func deletion(_ path: String) async throws -> String? {
    try await store.write([NewObject(path: path, bytes: StoreCheck.bytes(1))])
    try await store.delete(path)
    guard try await store.get(path) == nil else { return "a deleted object is still there" }
    return nil
  }

  private static func text(_ outcome: PutOutcome) -> String {
    switch outcome {
    case .created: "created"
    case .exists: "there already"
    case .unknown(let why): "unknown: \(why)"
    }
  }
}

/// What `weir doctor` found of a store's settings.
public typealias StoreFinding = StoreCheck.Finding
