import WeirCore
import WeirOperators
import WeirProtocol

/// Compares the state table with the lane state that the ledger names, row by row.
///
/// A lane's rows can be compared while the table is exactly at the ledger's position of the lane: its mark says so. Elsewhere the
/// table is behind or ahead by design, because a worker runs or was killed; that is a note. Marks and rows are of one moment, so
/// that workers and rebuilds may write meanwhile.
struct StateVerify {
  /// Rows of a table and lane, as a number and a sum that does not depend on their order.
  private struct Tally: Equatable {
    var rows = 0
    var sum: UInt128 = 0

    mutating func add(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
      rows += 1
      sum &+= StateRow.digest(key, value)
    }
  }

  private struct Place: Hashable {
    let table: String
    let lane: String
  }

  /// Tables whose differences are looked at in detail; each costs another read of the table.
  private static let detailsMax = 4
  private static let advice: Wording = "\(.rebuildState) rewrites the table"

  private let compiled: CompiledPlan
  private let state: any StateTableReader
  private let fold: LedgerFold
  private let restorer: Restorer

  static func run(
    _ compiled: CompiledPlan, _ state: any StateTableReader, environment: EngineEnvironment, _ ledger: Ledger, fold: LedgerFold,
    _ result: inout LedgerVerify.Result
  ) async throws {
    guard !compiled.plan.state.isEmpty else { return }
    let run = RunInfo(compiled.plan, runID: fold.genesis.runID)
    let compiled = compiled.following(fold)
    let verify = StateVerify(
      compiled: compiled, state: state, fold: fold,
      restorer: Restorer(compiled: compiled, store: environment.lake, fold: fold, run: run))
    try await result.part { result in
      do {
        try await verify.run(ledger, &result)
      } catch let error as WeirError where error.code == .corrupt || error.code == .stateReplaced {
        result.problems.append(error.wording)
      }
    }
  }

  private init(compiled: CompiledPlan, state: any StateTableReader, fold: LedgerFold, restorer: Restorer) {
    (self.compiled, self.state, self.fold, self.restorer) = (compiled, state, fold, restorer)
  }

  private func run(_ ledger: Ledger, _ result: inout LedgerVerify.Result) async throws {
    let (meta, found) = try await foundRows()
    for spec in compiled.plan.state {
      let id = Array(fold.genesis.ledgerID.utf8)
      guard meta["owner/\(spec.name)"] == id, meta[StateRebuild.mark(spec)] == id else {
        result.notices.append("the state table \(spec.name) is not complete, or belongs to another ledger: not compared")
        return
      }
    }
    switch try await StateEntryMark.standing(meta, ledger) {
    case .belongs, .collected: break
    case .ahead(let number), .beside(let number):
      result.notices.append(
        "the state table has rows of an entry \(number) that the ledger does not have (its last entry is \(fold.number)): the next run rewrites the table, and \(.rebuildState) does so now. Its rows were not compared"
      )
      return
    }
    let lanes = StateRowLanes.of(compiled, fold)
    let even = lanes.filter { StateRowLanes.isEven($0, meta, fold) }
    let expected = try await expectedRows(even, &result)
    if even.count < lanes.count {
      result.notices.append(
        "the state table is not at the ledger's position for \(lanes.count - even.count) of \(lanes.count) lanes (a worker runs, or was stopped): their rows were not compared"
      )
    }
    var details = StateVerify.detailsMax
    for (place, tally) in expected.sorted(by: { ($0.key.table, $0.key.lane) < ($1.key.table, $1.key.lane) })
    where found[place] ?? Tally() != tally {
      var what = "\(found[place]?.rows ?? 0) rows, \(tally.rows) in the lane's state"
      if details > 0 {
        guard let details = try await difference(place, orElse: what) else { continue }
        what = details
      }
      details -= 1
      result.problems.append("the state table \(place.table), lane \(place.lane): \(what); \(StateVerify.advice)")
    }
  }

  private func expectedRows(_ lanes: [LaneID], _ result: inout LedgerVerify.Result) async throws -> [Place: Tally] {
    var expected: [Place: Tally] = [:]
    for lane in lanes {
      do {
        for batch in try await rows(of: lane) {
          var tally = Tally()
          batch.forEachInKeyOrder { key, value in
            if let value { tally.add(key, value) }
            return true
          }
          expected[Place(table: batch.table, lane: batch.lane)] = tally
        }
      } catch let error as WeirError where error.code == .corrupt {
        // A damaged blob is a problem already.
        result.notices.append("the state of lane \(lane.text) cannot be restored (\(error.message)): its rows were not compared")
      }
    }
    return expected
  }

  private func rows(of lane: LaneID) async throws -> [StateBatch] {
    if lane == .merge { return try await restorer.merge().allStateRows(ledgerNumber: fold.number, isEmptyToo: true) }
    return try await restorer.shard(lane).allStateRows(of: lane)?.rows ?? []
  }

  private func foundRows() async throws -> (meta: [String: [UInt8]], rows: [Place: Tally]) {
    let (meta, rows) = try await state.moment(of: compiled.plan.state.map(\.name), into: [Place: Tally]()) { rows, row in
      row.key.withUnsafeBytes { key in
        (row.value ?? []).withUnsafeBytes { rows[Place(table: row.table, lane: row.lane), default: Tally()].add(key, $0) }
      }
    }
    return (meta, rows)
  }

  /// How many rows differ, and in what; nil: none does any more, since the table was rebuilt.
  /// - Parameter known: what is said when a worker has moved the lane on, so that its rows cannot be compared any more.
  private func difference(_ place: Place, orElse known: String) async throws -> String? {
    var expected: [Hash128: UInt128] = [:]
    for lane in fold.lanes.keys where lane.text == place.lane {
      for batch in try await rows(of: lane) where batch.table == place.table {
        batch.forEachInKeyOrder { key, value in
          if let value { expected[Hash128(key)] = StateRow.digest(key, value) }
          return true
        }
      }
    }
    struct Counts {
      var rest: [Hash128: UInt128]
      var wrong = 0
      var strange = 0
    }
    let lane = place.lane
    let (meta, counts) = try await state.moment(of: [place.table], into: Counts(rest: expected)) { counts, row in
      guard row.lane == lane else { return }
      let (key, digest) = row.key.withUnsafeBytes { key in
        (Hash128(key), (row.value ?? []).withUnsafeBytes { StateRow.digest(key, $0) })
      }
      switch counts.rest.removeValue(forKey: key) {
      case nil: counts.strange += 1
      case digest: break
      default: counts.wrong += 1
      }
    }
    guard fold.lanes.keys.contains(where: { $0.text == place.lane && StateRowLanes.isEven($0, meta, fold) }) else { return known }
    guard !counts.rest.isEmpty || counts.wrong > 0 || counts.strange > 0 else { return nil }
    return
      "of \(expected.count) rows of the lane's state, \(counts.rest.count) are missing and \(counts.wrong) have other values; \(counts.strange) rows are not in the lane's state"
  }
}
