import WeirCore
import WeirDelta
import WeirOperators
import WeirProtocol

/// Brings one Delta table up to the ledger. Carries out what ``FollowerMachine`` says.
struct DeltaFollower: Sendable {
  private let ledgerID: String
  private let layout: TableLayout
  private let table: DeltaTable
  private let clock: any Clock
  /// What this follower last saw of the table.
  private var snapshot: DeltaSnapshot?

  init(environment: EngineEnvironment, ledgerID: String, layout: TableLayout) {
    self.ledgerID = ledgerID
    self.layout = layout
    clock = environment.clock
    table = DeltaTable(store: environment.lake, path: layout.table)
  }

  private var appID: String { "\(ledgerID)/\(layout.table)" }

  /// - Parameter entry: gives an entry by its number.
  mutating func follow(to target: Int64, entry: @Sendable (Int64) async throws -> LedgerEntry) async throws {
    var machine = FollowerMachine(ledgerID: ledgerID, target: target)
    var action = machine.start()
    while true {
      switch action {
      case .done: return
      case .readSnapshot:
        snapshot = try await table.snapshot(after: snapshot)
        action = machine.snapshotRead(
          version: snapshot?.version ?? -1, txn: snapshot?.transactions[appID] ?? -1,
          owner: snapshot?.metadata?.configuration["weir.ledger"])
      case .create: action = machine.putReturned(try definite(await create()))
      case .commit(let version, let from, let to):
        var entries: [LedgerEntry] = []
        for number in from...to { entries.append(try await entry(number)) }
        if entries.contains(where: holds) {
          let outcome = try definite(await table.tryCommit(version: version, bytes: commit(entries)))
          if outcome == .created { try await checkpoint(version) }
          action = machine.putReturned(outcome)
        } else {
          action = machine.nothingToCommit()
        }
      case .refuse(let owner):
        throw WeirError(
          "foreign_table",
          "the table \(layout.table) belongs to \(owner.map { "another ledger (\($0))" } ?? "no ledger of Weir")",
          advice: "Choose another lake (--lake DIR), or other names for the pipeline's tables.")
      }
    }
  }

  /// An unknown outcome of a local store is a failure to write: told as such instead of being tried for ever.
  private func definite(_ outcome: PutOutcome) throws -> PutOutcome {
    guard case .unknown(let why) = outcome else { return outcome }
    throw WeirError(
      "storage", "the Delta log of \(layout.table) could not be written: \(why)",
      advice: "The ledger has the entry: run again, and the table is brought up to it.", isRetriable: true, fatalTo: .worker)
  }

  private func holds(_ entry: LedgerEntry) -> Bool { entry.draft.tables.contains { $0.table == layout.table } }

  private func create() async -> PutOutcome {
    let actions = DeltaTable.creation(
      id: DeltaFollower.uuid(ContentHash(of: Array(appID.utf8)).hex), columns: layout.schema,
      partitionColumns: layout.partitionBy.map(\.name),
      configuration: ["weir.ledger": ledgerID, "delta.enableExpiredLogCleanup": "false"],
      milliseconds: clock.wallMicroseconds / 1000)
    return await table.tryCommit(version: 0, bytes: DeltaCommit.encode(info: info("CREATE TABLE", []), actions: actions))
  }

  private static func uuid(_ hex: String) -> String {
    let h = Array(hex)
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(h[$0]) }.joined(separator: "-")
  }

  private func info(_ operation: String, _ more: [JSONValue.Member]) -> [JSONValue.Member] {
    let parameters: [JSONValue.Member] = operation == "WRITE" ? [.init("mode", .string("Append"))] : []
    return [
      .init("timestamp", .int(clock.wallMicroseconds / 1000)), .init("operation", .string(operation)),
      .init("operationParameters", .object(parameters)), .init("engineInfo", .string("weir")),
      .init("isBlindAppend", .bool(true)),
    ] + more
  }

  /// The commit of consecutive entries: their files, and txn = the last of them.
  private func commit(_ entries: [LedgerEntry]) -> [UInt8] {
    var actions: [DeltaAction] = [.transaction(appID: appID, version: entries[entries.count - 1].number)]
    for entry in entries {
      for commit in entry.draft.tables where commit.table == layout.table { actions += commit.files.map { .add(add($0)) } }
    }
    return DeltaCommit.encode(info: info("WRITE", [.init("weir", accounting(entries))]), actions: actions)
  }

  private func add(_ file: DataFile) -> DeltaAdd {
    DeltaAdd(
      path: uriEncode(String(file.path.dropFirst(layout.table.count + 1))),
      partitionValues: file.partition.map { ($0.name, $0.value) }, bytes: file.bytes,
      modificationMilliseconds: clock.wallMicroseconds / 1000, stats: file.stats.text)
  }

  /// Law 4 in the commit: both sums, and how far the table is complete.
  private func accounting(_ entries: [LedgerEntry]) -> JSONValue {
    var counts = BucketCounts()
    var windows: WindowCounts?
    let name = String(layout.table.drop { $0 != "/" }.dropFirst())
    let isWindowed = layout.table.hasPrefix("gold/") || layout.table.hasPrefix("late/")
    for lane in entries.flatMap(\.draft.lanes) {
      counts += lane.counts
      guard isWindowed, let more = lane.windows[name] else { continue }
      var sum = windows ?? WindowCounts()
      sum += more
      windows = sum
    }
    let last = entries[entries.count - 1]
    var members: [JSONValue.Member] = [
      .init("ledger", .string(ledgerID)), .init("from", .int(entries[0].number)), .init("to", .int(last.number)),
      .init("in", .int(counts.input)), .init("accepted", .int(counts.accepted)),
      .init("duplicate", .int(counts.duplicate)), .init("filtered", .int(counts.filtered)),
      .init("quarantined", .int(counts.quarantined)), .init("completeThrough", complete(last.draft.mergedWatermark)),
    ]
    if let windows {
      members.append(
        .init(
          "windows",
          .members([
            "onTime": .int(windows.onTime), "corrected": .int(windows.corrected), "late": .int(windows.late),
          ])))
    }
    return .object(members)
  }

  private func complete(_ watermark: Int64) -> JSONValue {
    switch watermark {
    case Watermark.minimum: .null
    case Watermark.maximum: .string("end of input")
    default: .string(CivilTime.text(ofMicroseconds: watermark))
    }
  }

  /// A checkpoint every ten commits.
  private mutating func checkpoint(_ version: Int64) async throws {
    guard version > 0, version % 10 == 0 else { return }
    snapshot = try await table.snapshot(after: snapshot)
    if let snapshot, snapshot.version == version { try await table.writeCheckpoint(snapshot) }
  }
}
