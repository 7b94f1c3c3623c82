import WeirCore
import WeirProtocol

/// The tables' logs.
extension LedgerOracle {
  func createdVersion(of table: String, _ path: String, _ bytes: [UInt8]) {
    var log = tables[table] ?? TableLog()
    let digits = path.split(separator: "/").last?.prefix(20) ?? ""
    guard Int64(digits) == Int64(log.versions.count) else { return fail("\(table): version \(digits) after \(log.versions.count - 1)") }
    guard let genesis = accounts.first?.entry.genesis else { return fail("\(table) was made before the ledger") }
    var applied = log.applied
    var added: [String] = []
    var complete: JSONValue?
    for line in bytes.split(separator: 10) {
      guard let action = try? JSONValue(parsing: line) else { return fail("\(path) cannot be read") }
      if let said = action["commitInfo"]?["weir"]?["completeThrough"] { complete = said }
      if let txn = action["txn"], txn["appId"]?.string == "\(genesis.ledgerID)/\(table)" { applied = txn["version"]?.int ?? -1 }
      if let add = action["add"] {
        added.append(table + "/" + (add["path"]?.string ?? ""))
        let stated = add["stats"]?.string.flatMap { try? JSONValue(parsing: Array($0.utf8)) }?["numRecords"]?.int
        let file = accounts.reversed().lazy.flatMap { $0.entry.files(of: table) }.first { $0.path == added.last }
        if let file, add["size"]?.int != file.bytes || stated.map({ $0 != file.rows }) ?? false {
          fail("\(path): size or statistics of \(file.path) are wrong")
        }
      }
      if action["remove"] != nil { fail("\(path) removes a file") }
      if let owner = action["metaData"]?["configuration"]?["weir.ledger"]?.string, owner != genesis.ledgerID {
        fail("\(path) names another ledger")
      }
    }
    if applied < log.applied { fail("\(table): it went back from entry \(log.applied) to \(applied)") }
    guard applied <= head else { return fail("\(table): entry \(applied) is not in the ledger") }
    if applied > log.applied + 1 { marks.hit(.followerBatch) }
    let through = OracleTables.seconds(ofText: complete?.string ?? "")
    if table.hasPrefix("gold/") { checkComplete(through, table, version: digits, at: applied, before: log.versions.last?.complete) }
    let expected = accounts.filter { $0.entry.number > log.applied && $0.entry.number <= applied }.flatMap {
      $0.entry.files(of: table).map(\.path)
    }
    if added != expected { fail("\(table), version \(digits): not the files of entries \(log.applied + 1) to \(applied)") }
    log.versions.append(.init(path: path, applied: applied, complete: through))
    tables[table] = log
  }

  func lostVersions(of table: String) {
    let versions = tables[table]?.versions ?? []
    let kept = versions.prefix { store.peek($0.path) != nil }
    if versions.dropFirst(kept.count).contains(where: { store.peek($0.path) != nil }) {
      fail("the crash took a version of \(table) but not the next")
    }
    tables[table]?.versions = Array(kept)
    let applied = tables[table]?.applied ?? 0
    if applied > max(head, 0) { fail("\(table) holds entry \(applied), which the crash took") }
  }

  /// At the end a table has the files of all entries.
  func checkTable(_ table: String) {
    let last = accounts.last { !$0.entry.files(of: table).isEmpty }?.entry.number ?? 0
    if tables[table]?.applied ?? 0 < last { fail("\(table) ends at entry \(tables[table]?.applied ?? 0), its files at \(last)") }
  }
}

/// A table's log as the oracle followed it.
struct TableLog {
  struct Version {
    var path: String
    var applied: Int64
    /// Seconds.
    var complete: Int?
  }
  var versions: [Version] = []
  /// The last ledger entry that the table has.
  var applied: Int64 { versions.last?.applied ?? 0 }
}

enum OracleTables {
  static let names = ["gold/kinds", "gold/users", "late/kinds", "late/users", "quarantine/t", "silver/t"]

  /// Whole seconds since 1970 of a time in UTC; nil: it is none.
  static func seconds(ofText text: String) -> Int? {
    let parts = text.split { !$0.isNumber }.compactMap { Int($0) }
    guard parts.count >= 6 else { return nil }
    // Years begin in March here, so that a leap day is their last.
    let (year, month) = parts[1] > 2 ? (parts[0], parts[1] - 3) : (parts[0] - 1, parts[1] + 9)
    let day = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + parts[2] - 1 - 719_468
    return ((day * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5]
  }
}

/// The later of two times; nil: the minimum.
func larger(_ a: Int?, _ b: Int?) -> Int? {
  guard let a, let b else { return a ?? b }
  return max(a, b)
}

/// Microseconds of a watermark in seconds.
func microseconds(_ watermark: Int?) -> Int64 { watermark.map { Int64($0) * 1_000_000 } ?? Watermark.minimum }
