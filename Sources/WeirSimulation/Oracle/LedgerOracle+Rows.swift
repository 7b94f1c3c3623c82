import WeirCore
import WeirParquet
import WeirProtocol

/// Rows of the files that entries name, and the Delta logs.
extension LedgerOracle {
  func checkRows(_ entry: LedgerEntry, _ rows: Rows) {
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

// MARK: - What rows are compared by

/// Rows that an entry must hold, by table.
struct Rows {
  var silver: [SilverRow] = []
  var quarantined: Set<Place> = []
  var lateUsers: Set<LatePlace> = []
  var lateKinds: Set<LatePlace> = []
  /// Windows that lanes must emit, and those that they may: some of those of an epoch that leaves others.
  var due: [WindowKey: Tally] = [:]
  var allowed: [WindowKey: Tally] = [:]
  var windows: [WindowKey: Tally] = [:]
  /// What merged state tables get.
  var totals: [StateFold.Item] = []
}

struct Place: Hashable {
  var shard: String
  var position: Int64
}

struct LatePlace: Hashable {
  var place: Place
  var start: Int
}

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

/// A group's window.
struct WindowKey: Hashable {
  var group: String
  /// Seconds.
  var start: Int
  var end: Int { start + SourceWorkload.windowSize }
}

/// A row of a file.
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
