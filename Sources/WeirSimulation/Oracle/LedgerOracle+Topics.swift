import WeirCore
import WeirProtocol

/// Topics that tables are published to: each row at least once, in order, and the same bytes every time.
extension LedgerOracle {
  func stored(_ topic: String, _ record: SinkRecord) {
    func header(_ name: String) -> String {
      record.headers.last { $0.name == name }?.value.map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    guard let entry = Int64(header("weir-entry")), let row = Int64(header("weir-row")) else {
      return fail("a record of the topic \(topic) does not name its row")
    }
    guard entry <= head else { return fail("the topic \(topic) has a row of entry \(entry), which is not in the ledger") }
    let bytes = (record.key ?? []) + [0] + (record.value ?? [])
    let hash = bytes.withUnsafeBytes { Hash128($0, seed: 0) }
    var log = topics[topic] ?? TopicLog()
    let this = TopicRow(entry: entry, row: row)
    if let known = log.rows[this] {
      marks.hit(.sinkRepeated)
      if known != hash { fail("the topic \(topic) has row \(row) of entry \(entry) twice, with different bytes") }
      return
    }
    if this != next(header("weir-table"), after: log.last) {
      fail(
        "the topic \(topic) has row \(row) of entry \(entry) after \(log.last.map { "row \($0.row) of entry \($0.entry)" } ?? "nothing")")
    }
    log.rows[this] = hash
    log.last = this
    topics[topic] = log
  }

  /// The row that follows; nil: there is none yet.
  private func next(_ table: String, after last: TopicRow?) -> TopicRow? {
    if let last, last.row + 1 < rows(of: table, in: last.entry) { return TopicRow(entry: last.entry, row: last.row + 1) }
    let first = (last?.entry ?? 0) + 1
    guard first <= head else { return nil }
    return (first...head).first { rows(of: table, in: $0) > 0 }.map { TopicRow(entry: $0, row: 0) }
  }

  private func rows(of table: String, in entry: Int64) -> Int64 {
    accounts[Int(entry)].entry.files(of: table).reduce(0) { $0 + $1.rows }
  }

  /// At the end every row is published.
  func checkTopics(_ routes: [SinkSpec.Route]) {
    for route in routes {
      if let left = next(route.table, after: topics[route.topic]?.last) {
        fail("the topic \(route.topic) lacks row \(left.row) of entry \(left.entry)")
      }
    }
  }

  /// After a crash: what was published must still be in the ledger.
  func lostTopics() {
    for (topic, log) in topics.sorted(by: { $0.key < $1.key }) {
      if let last = log.last, last.entry > head { fail("the topic \(topic) has rows of entry \(last.entry), which the crash took") }
    }
  }
}

/// What a topic holds, without repetitions.
struct TopicLog {
  var rows: [TopicRow: Hash128] = [:]
  var last: TopicRow?
}

struct TopicRow: Hashable {
  var entry: Int64
  var row: Int64
}
