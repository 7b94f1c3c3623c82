import WeirCore
import WeirOperators

/// Window results as columns: the `by` values, window_start, window_end, the measures, revision.
enum GoldRows {
  static func columns(_ results: WindowResults, byTypes: [ColumnType], measureTypes: [ColumnType]) throws(WeirError) -> [Column] {
    var by = byTypes.map { ColumnBuilder($0) }
    var start = ColumnBuilder(.timestamp)
    var end = ColumnBuilder(.timestamp)
    var measures = measureTypes.map { ColumnBuilder($0) }
    var revision = ColumnBuilder(.int64)
    for i in 0..<results.count {
      try StateKey.decode(results.key(i), types: byTypes) { by[$0].append($1) }
      start.append(.timestamp(results.starts[i]))
      end.append(.timestamp(results.ends[i]))
      for (number, value) in results.measures(i).enumerated() { measures[number].append(value) }
      revision.append(.int64(0))
    }
    return by.map { $0.finish() } + [start.finish(), end.finish()] + measures.map { $0.finish() } + [revision.finish()]
  }
}

/// Rows of a gold table that are made as they are encoded.
struct GoldBacklog: Sendable {
  let rows: WindowBacklog
  let byTypes: [ColumnType]
  let measureTypes: [ColumnType]

  /// The next rows as columns of the table; nil when all were given. Each row is given once.
  func next() throws(WeirError) -> (columns: [Column], count: Int)? {
    guard let some = rows.next() else { return nil }
    return (try GoldRows.columns(some, byTypes: byTypes, measureTypes: measureTypes), some.count)
  }
}
