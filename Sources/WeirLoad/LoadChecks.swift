import WeirCore
import WeirKafka
import WeirLocal
import WeirOperators
import WeirParquet
import WeirProtocol

/// What a check found of the records that were sent.
package struct LoadFindings: Sendable {
  /// `state/user_totals`, `gold/views`, `topic/ads`.
  var place: String
  /// Rows, windows or records that were looked at.
  var checked: Int64 = 0
  var lost: Int64 = 0
  var duplicate: Int64 = 0
  var disordered: Int64 = 0
  /// What was not looked at, and why.
  var note: String?

  var isGood: Bool { lost == 0 && duplicate == 0 && disordered == 0 }

  var json: JSONValue {
    .members([
      "place": .string(place), "checked": .int(checked), "lost": .int(lost), "duplicate": .int(duplicate), "disordered": .int(disordered),
      "note": note.map { .string($0) } ?? .null,
    ])
  }
}

/// A state table that counts records by their key, and what it counted before the load.
package struct StateCheck: Sendable {
  let table: String
  /// Of the `count()` measure.
  private let measure: Int
  private var before: [String: Int64] = [:]

  /// The first table by the record's key alone that counts records; nil: there is none.
  package init?(_ plan: Plan) {
    guard let key = plan.record.soleKey else { return nil }
    for spec in plan.state where spec.filter == nil && spec.by.count == 1 {
      guard let input = spec.by[0].expr.plainColumn, plan.inputs[input].origin == .field(key), spec.by[0].expr.type == .string,
        let count = spec.measures.firstIndex(where: { $0.function == .count && $0.argument == nil })
      else { continue }
      (table, measure) = (spec.name, count)
      return
    }
    return nil
  }

  /// Remembers what is counted now; nothing where there is no store yet.
  package mutating func remember(_ store: any StateTableReader) async throws { before = try await counts(store) }

  private func counts(_ store: any StateTableReader) async throws -> [String: Int64] {
    var counts: [String: Int64] = [:]
    try await store.forEachRow(of: table) { row in
      guard case .string(let key)? = try StateKey.decode(row.key, types: [.string]).first else { return }
      counts[key] = try count(in: row)
    }
    return counts
  }

  private func count(in row: StateRow) throws -> Int64 {
    let values = try StateValue.decode(row.value ?? [])
    guard measure < values.count, case .int64(let count) = values[measure] else { return 0 }
    return count
  }

  /// Records of the key since the load began.
  func count(of key: String, in store: any StateTableReader) async throws -> Int64 {
    guard let row = try await store.read(table: table, key: StateKey.encode([.string(key)])), row.value != nil else { return 0 }
    return try count(in: row) - (before[key] ?? 0)
  }

  /// Holds the counts of all keys against what was sent.
  func check(_ store: any StateTableReader, _ templates: LoadTemplates, sent: Int64) async throws -> LoadFindings {
    var findings = LoadFindings(place: "state/\(table)")
    let found = try await counts(store)
    let rest = templates.counts(first: Int(sent % Int64(templates.count)))
    for (number, key) in templates.keys.enumerated() {
      let wanted = templates.count(ofKey: number, sent: sent, templates: rest)
      let more = (found[key] ?? 0) - (before[key] ?? 0) - wanted
      findings.checked += 1
      findings.lost += max(0, -more)
      findings.duplicate += max(0, more)
    }
    return findings
  }
}

/// Reads the gold tables back: the windows that are final must hold each record that was due in them once.
struct GoldCheck {
  let ledger: Ledger
  let lake: any ObjectStore

  /// - Parameters:
  ///   - dueIn: records by the millisecond of the load.
  ///   - from: ledger entries behind this are of the load.
  func check(_ plan: Plan, dueIn: [Int32], startedMilliseconds: Int64, from: Int64) async throws -> [LoadFindings] {
    var all: [LoadFindings] = []
    let fold = try await ledger.refresh()
    let entries = try await ledger.entries(after: from, through: fold.number)
    for (number, gold) in plan.gold.enumerated() {
      guard gold.filter == nil, gold.window.slideMicroseconds == gold.window.sizeMicroseconds,
        let count = gold.measures.first(where: { $0.function == .count && $0.argument == nil })
      else { continue }
      var found: [Int64: Int64] = [:]
      for file in entries.flatMap({ $0.files(of: plan.path(of: .gold(number))) }) { try await read(file, count.name, into: &found) }
      all.append(findings(plan.path(of: .gold(number)), gold.window, found, dueIn, startedMilliseconds * 1000))
    }
    return all
  }

  private func findings(_ table: String, _ window: WindowSpec, _ found: [Int64: Int64], _ dueIn: [Int32], _ began: Int64) -> LoadFindings {
    var wanted: [Int64: Int64] = [:]
    let (size, offset) = (window.sizeMicroseconds, window.offsetMicroseconds)
    for (millisecond, count) in dueIn.enumerated() where count > 0 {
      let time = began + Int64(millisecond) * 1000 - offset
      wanted[time / size * size + offset, default: 0] += Int64(count)
    }
    var findings = LoadFindings(place: table)
    // The first and the last window may hold others' records, or not be whole yet.
    let whole = found.keys.filter { wanted[$0] != nil && $0 >= began && wanted[$0 + size] != nil }.sorted()
    for window in whole {
      findings.checked += 1
      let more = (found[window] ?? 0) - (wanted[window] ?? 0)
      findings.lost += max(0, -more)
      findings.duplicate += max(0, more)
    }
    let missing = wanted.keys.filter { found[$0] == nil }.count
    findings.note = missing == 0 ? nil : "\(missing) windows are not final yet, and were not checked"
    return findings
  }

  private func read(_ file: DataFile, _ measure: String, into found: inout [Int64: Int64]) async throws {
    guard let bytes = try await lake.get(file.path) else {
      throw WeirError(
        .corrupt, "the file \(file.path), which the ledger names, is missing", advice: "Run `weir ledger verify PIPELINE` for details.")
    }
    let reader = try ParquetReader(bytes, name: file.path)
    guard let start = reader.leaves.firstIndex(where: { $0.path == ["window_start"] }),
      let count = reader.leaves.firstIndex(where: { $0.path == [measure] })
    else { return }
    for group in 0..<reader.groups {
      let (starts, counts) = (try reader.column(start, group: group), try reader.column(count, group: group))
      for row in 0..<reader.rows(inGroup: group) { found[starts.int(row) ?? 0, default: 0] += counts.int(row) ?? 0 }
    }
  }
}
