import WeirCore
import WeirProtocol

/// One version of a Delta-like table: a text file with the version's txn, owner and files.
struct TableVersion: Sendable {
  var path: String
  var version: Int64
  var txn: Int64
  var ledgerID: String
  /// Of entry `txn`.
  var proof: Int64?
  var files: [String]

  init(table: String, version: Int64, txn: Int64, ledgerID: String, proof: Int64?, files: [String]) {
    path = SimulatedTable.log(of: table) + TableVersion.name(version)
    self.version = version
    self.txn = txn
    self.ledgerID = ledgerID
    self.proof = proof
    self.files = files
  }

  init?(path: String, bytes: [UInt8]) {
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    guard lines.count >= 4, let version = Int64(lines[0]), let txn = Int64(lines[1]) else { return nil }
    self.path = path
    self.version = version
    self.txn = txn
    ledgerID = lines[2]
    proof = Int64(lines[3])
    files = Array(lines.dropFirst(4))
  }

  var object: NewObject {
    let lines = [String(version), String(txn), ledgerID, proof.map { String($0) } ?? "-"] + files
    return NewObject(path: path, bytes: Array(lines.joined(separator: "\n").utf8))
  }

  private static func name(_ version: Int64) -> String {
    let digits = String(version)
    return String(repeating: "0", count: 20 - digits.utf8.count) + digits
  }
}

/// Delta-like tables in the simulated store, and how a worker brings one to the ledger.
struct SimulatedTable: Sendable {
  static let names = ["gold", "silver"]
  static func log(of table: String) -> String { "tables/\(table)/_log/" }

  let name: String
  let store: any ObjectStore
  let ledger: Ledger
  let clock: SimulatedClock
  let random: SimulatedRandom
  let variant: ProtocolVariant
  let mark: @Sendable (Mark) -> Void

  /// The ledger number that the table has reached; nil if the store gave no answer.
  func follow() async throws -> Int64? {
    let fold = await ledger.fold
    var machine = FollowerMachine(table: name, ledgerID: fold.genesis.ledgerID, target: fold.number)
    machine.variant = variant
    var action = machine.begin
    while true {
      switch action {
      case .done(let snapshot): return snapshot.txn
      case .giveUp: return nil
      case .refuse(let refusal): throw WeirError(.tableAhead, "the table \(name) was refused: \(refusal)")
      default: action = machine.event(try await carryOut(action))
      }
    }
  }

  private func carryOut(_ action: FollowerMachine.Action) async throws -> FollowerMachine.Event {
    do {
      switch action {
      case .readSnapshot: return .snapshotRead(try await snapshot())
      case .readEntries(let after, let through):
        if through > after + 1 { mark(.followerBatch) }
        return .entriesRead(try await ledger.entries(after: after, through: through))
      case .readProof(let number): return .proofRead(try await ledger.proof(of: number))
      case .commit(let commit): return .putReturned(await put(commit))
      case .rest:
        await clock.sleep(nanoseconds: Int64(random.below(20_000_000)))
        return .rested
      case .done, .refuse, .giveUp: return .rested
      }
    } catch let error as WeirError where error.isRetriable {
      return .failed
    }
  }

  private func snapshot() async throws -> TableSnapshot {
    guard let newest = try await store.list(SimulatedTable.log(of: name)).last,
      let bytes = try await store.get(newest.path), let version = TableVersion(path: newest.path, bytes: bytes)
    else { return TableSnapshot(version: -1, txn: nil, ledgerID: nil) }
    // The log of a real table is made durable before it is acted on, like the ledger.
    try await store.sync(newest.path)
    return TableSnapshot(version: version.version, txn: version.txn, ledgerID: version.ledgerID, proof: version.proof)
  }

  private func put(_ commit: FollowerMachine.Commit) async -> PutOutcome {
    let version = TableVersion(
      table: name, version: commit.version, txn: commit.to, ledgerID: await ledger.fold.genesis.ledgerID,
      proof: commit.proof?.value, files: commit.files.map(\.path))
    let outcome = await store.putIfAbsent(version.object)
    switch outcome {
    case .created: break
    case .exists: mark(.followerLostVersion)
    case .unknown: mark(.followerUnknown)
    }
    return outcome
  }
}
