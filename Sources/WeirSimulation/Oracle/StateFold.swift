/// What a state table is to have, naively: all records that count, and what is left of them at a time.
struct StateFold: Sendable {
  /// A record that may count in the table.
  struct Item: Sendable {
    var group: String
    /// Event time, seconds.
    var at: Int
    var amount: Int
    /// The watermark that it is judged by, seconds; nil: the minimum.
    var judgedBy: Int?

    init(_ record: SourceRecord, _ group: String, judgedBy: Int?) {
      (self.group, at, amount, self.judgedBy) = (group, record.at, record.amount, judgedBy)
    }
  }

  /// Seconds; nil: rows never expire.
  let ttl: Int?
  private var items: [String: [Item]] = [:]

  init(ttl: Int?) { self.ttl = ttl }

  /// Leaves out what comes too late.
  mutating func add(_ item: Item) {
    if let ttl, let judge = item.judgedBy, item.at + ttl <= judge { return }
    items[item.group, default: []].append(item)
  }

  mutating func add(_ record: SourceRecord, _ group: String, judgedBy: Int?) { add(Item(record, group, judgedBy: judgedBy)) }

  mutating func merge(_ other: StateFold, where keeps: (String) -> Bool = { _ in true }) {
    for (group, theirs) in other.items where keeps(group) { items[group, default: []] += theirs }
  }

  /// The row of a group; nil: it has none.
  /// - Parameter clock: the watermark, seconds; nil: the minimum.
  func row(_ group: String, at clock: Int?) -> Tally? {
    guard var times = items[group]?.sorted(by: { $0.at < $1.at }), let newest = times.last?.at else { return nil }
    if let ttl {
      if let clock, newest + ttl <= clock { return nil }
      if let gap = times.indices.last(where: { $0 > 0 && times[$0].at - times[$0 - 1].at >= ttl }) { times.removeFirst(gap) }
    }
    return times.reduce(into: Tally()) { $0.add($1.amount) }
  }

  func rows(at clock: (String) -> Int?) -> [String: Tally] {
    items.keys.reduce(into: [:]) { rows, group in rows[group] = row(group, at: clock(group)) }
  }

  func rows(at clock: Int?) -> [String: Tally] { rows { _ in clock } }
}
