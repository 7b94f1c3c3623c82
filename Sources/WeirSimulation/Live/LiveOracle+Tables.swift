import WeirCore
import WeirParquet
import WeirProtocol

/// Rows of the files that entries name, and the Delta logs.
extension LiveOracle {
  static let tableNames = ["gold/kinds", "gold/users", "late/kinds", "late/users", "quarantine/t", "silver/t"]

  struct SilverRow: Equatable {
    var place: Place
    var user: String
    var id: Int64
    var kind: String
    var amount: Int64

    init(place: Place, user: String, id: Int64, kind: String, amount: Int64) {
      self.place = place
      (self.user, self.id, self.kind, self.amount) = (user, id, kind, amount)
    }

    init(_ record: SourceRecord, _ place: Place) {
      self.init(place: place, user: record.user, id: Int64(record.id), kind: record.kind, amount: Int64(record.amount))
    }
  }

  func checkRows(_ entry: LedgerEntry, _ rows: Rows, _ next: inout Account) {
    let silver = read(entry, "silver/t", ["shard", "position", "user", "id", "kind", "amount"]) { row in
      SilverRow(
        place: Place(shard: row.text(0), position: row.int(1)), user: row.text(2), id: row.int(3), kind: row.text(4), amount: row.int(5))
    }
    if silver != rows.silver {
      fail("entry \(entry.number): silver has \(silver.count) rows, which are not its \(rows.silver.count) records in order")
    }
    func places(_ table: String) -> [Place] {
      read(entry, table, ["_shard", "_position"]) { Place(shard: $0.text(0), position: $0.int(1)) }
    }
    func late(_ table: String) -> [LatePlace] {
      read(entry, table, ["_shard", "_position", "window_start"]) {
        LatePlace(place: Place(shard: $0.text(0), position: $0.int(1)), start: Int($0.int(2) / 1_000_000))
      }
    }
    func same<T: Hashable>(_ found: [T], _ expected: Set<T>, _ table: String) {
      if found.count != expected.count || Set(found) != expected { fail("entry \(entry.number): \(table) has not the rows of its records") }
    }
    same(places("quarantine/t"), rows.quarantined, "quarantine")
    same(late("late/users"), rows.lateUsers, "late/users")
    same(late("late/kinds"), rows.lateKinds, "late/kinds")
    if next.growth != nil, entry[.merge] != nil { return }
    for key in checkGold(entry, "gold/users", due: rows.due, allowed: rows.allowed) {
      for id in next.lanes.keys { next.lanes[id]?.open[key] = nil }
    }
  }

  /// - Returns: windows that were emitted and needed not.
  @discardableResult
  func checkGold(
    _ entry: LedgerEntry, _ table: String, due: [WindowKey: Tally], allowed: [WindowKey: Tally]
  ) -> [WindowKey] {
    let by = table == "gold/users" ? "user" : "kind"
    let found = read(entry, table, [by, "window_start", "rows", "total"]) { row in
      (WindowKey(group: row.text(0), start: Int(row.int(1) / 1_000_000)), Tally(count: Int(row.int(2)), sum: Int(row.int(3))))
    }
    var left = due
    var early: [WindowKey] = []
    for (key, tally) in found {
      if let expected = left.removeValue(forKey: key) ?? allowed[key] {
        if tally != expected { fail("entry \(entry.number): \(table) has \(tally) for \(key), not \(expected)") }
        if due[key] == nil { early.append(key) }
      } else {
        fail("entry \(entry.number): \(table) has the window \(key), which is not due")
      }
    }
    if Set(found.map(\.0)).count != found.count { fail("entry \(entry.number): \(table) has a window twice") }
    if let missing = left.keys.first { fail("entry \(entry.number): \(table) lacks the window \(missing)") }
    return early
  }

  // MARK: Files

  struct Row {
    /// nil: the file's partition has the value.
    let columns: [ParquetColumn?]
    let values: [String?]
    let row: Int

    func text(_ column: Int) -> String {
      values[column] ?? columns[column]?.bytes(row).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    /// Decimals of many digits are bytes, big-endian.
    func int(_ column: Int) -> Int64 {
      columns[column]?.int(row)
        ?? columns[column]?.bytes(row).map { $0.reduce(Int64(Int8(bitPattern: $0.first ?? 0) < 0 ? -1 : 0)) { $0 << 8 | Int64($1) } } ?? -1
    }
  }

  private func read<T>(_ entry: LedgerEntry, _ table: String, _ names: [String], _ make: (Row) -> T) -> [T] {
    var all: [T] = []
    for file in entry.files(of: table) {
      guard let bytes = store.peek(file.path), Int64(bytes.count) == file.bytes, ContentHash(of: bytes).hex == file.hash else {
        fail("entry \(entry.number): the file \(file.path) is not there")
        return all
      }
      do {
        let reader = try ParquetReader(bytes, name: file.path)
        if Int64(reader.rows) != file.rows { fail("\(file.path) has not the rows that entry \(entry.number) states") }
        for group in 0..<reader.groups {
          let values = names.map { name in file.partition.first { $0.name == name }?.value }
          let columns = try zip(names, values).map { name, value in
            value == nil ? try reader.column(reader.leaves(below: [name])[0], group: group) : nil
          }
          for row in 0..<reader.rows(inGroup: group) { all.append(make(Row(columns: columns, values: values, row: row))) }
        }
      } catch { fail("\(file.path) cannot be read: \(error)") }
    }
    return all
  }
}

// MARK: - Delta logs

extension LiveOracle {
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
    let through = LiveOracle.seconds(ofText: complete?.string ?? "")
    checkComplete(through, table, version: digits, accounts[Int(applied)], before: log.versions.last?.complete)
    let expected = accounts.filter { $0.entry.number > log.applied && $0.entry.number <= applied }.flatMap {
      $0.entry.files(of: table).map(\.path)
    }
    if added != expected { fail("\(table), version \(digits): not the files of entries \(log.applied + 1) to \(applied)") }
    log.versions.append(.init(path: path, applied: applied, complete: through))
    tables[table] = log
  }

  /// Readers take a table of windows for whole up to what a version says.
  private func checkComplete(_ through: Int?, _ table: String, version: Substring, _ account: Account, before: Int?) {
    guard table.hasPrefix("gold/") else { return }
    if through ?? Int.min < before ?? Int.min { fail("\(table), version \(version): it is complete through less than before") }
    let isMerged = table == "gold/kinds" || account.growth != nil
    var open = account.lanes.values.flatMap(\.open.keys)
    if isMerged { open = Array(account.open.keys) + account.unread.flatMap(\.windows.keys) }
    let prefix = table == "gold/kinds" ? "k" : "u"
    if let through, let missing = open.first(where: { $0.group.hasPrefix(prefix) && $0.end <= through }) {
      fail("\(table), version \(version): it is said to be complete through \(through), and the window \(missing) is not in it")
    }
    // Nor does it say less than there is.
    if isMerged, account.growth == nil, through != account.mergeComplete {
      fail("\(table), version \(version): complete through \(through ?? 0), and the merge lane has finished \(account.mergeComplete ?? 0)")
    }
  }

  /// Whole seconds since 1970 of a time in UTC; nil: it is none.
  private static func seconds(ofText text: String) -> Int? {
    let parts = text.split { !$0.isNumber }.compactMap { Int($0) }
    guard parts.count >= 6 else { return nil }
    // Years begin in March here, so that a leap day is their last.
    let (year, month) = parts[1] > 2 ? (parts[0], parts[1] - 3) : (parts[0] - 1, parts[1] + 9)
    let day = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + parts[2] - 1 - 719_468
    return ((day * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5]
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
