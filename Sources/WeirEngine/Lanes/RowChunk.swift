import WeirCore
import WeirOperators

/// Rows of one table that one lane adds in one epoch, in position order.
///
/// Bronze and silver rows stay where they are, in what their blocks have of them, until the file writer gathers them; rows
/// of little traffic (window results, late and quarantined rows) were collected into columns.
struct RowChunk: Sendable {
  enum Source: Sendable {
    case bronze(ReceivedRows)
    /// Columns of the table in the order of its schema without partition columns that are not stored.
    case columns([Column])
    case exploded(ExplodedRows)
    case late(LateChunk)
    case windows(GoldBacklog)

    init(_ rows: TableRows.Source) {
      switch rows {
      case .columns(let columns): self = .columns(columns)
      case .exploded(let rows): self = .exploded(rows)
      }
    }
  }
  /// Where the block begins; of collected rows 0.
  var position: Int64
  var source: Source
  /// Rows of the source, ascending; nil: all.
  var rows: [UInt32]?
  /// Of a backlog of windows it is not known: 1.
  var count: Int

  init(position: Int64, source: Source, rows: [UInt32]) {
    (self.position, self.source, self.rows, count) = (position, source, rows, rows.count)
  }

  /// All rows of columns.
  init(_ columns: [Column]) {
    (position, source, rows, count) = (0, .columns(columns), nil, columns.first?.count ?? 0)
  }

  init(_ late: LateChunk) { (position, source, rows, count) = (0, .late(late), nil, late.count) }

  init(_ windows: GoldBacklog) { (position, source, rows, count) = (0, .windows(windows), nil, 1) }

  /// The chunks of the lanes of one shard by position: those of one block become one, so that a file's rows are in the order of
  /// the shard whatever the number of lanes, and the writer goes over each block once, while it is in the caches.
  static func inPositionOrder(_ lanes: [[RowChunk]]) -> [RowChunk] {
    guard lanes.count > 1 else { return lanes.first ?? [] }
    var next = [Int](repeating: 0, count: lanes.count)
    var merged: [RowChunk] = []
    while true {
      let positions = lanes.indices.lazy.filter { next[$0] < lanes[$0].count }.map { lanes[$0][next[$0]].position }
      guard let position = positions.min() else { return merged }
      var parts: [RowChunk] = []
      for lane in lanes.indices where next[lane] < lanes[lane].count && lanes[lane][next[lane]].position == position {
        parts.append(lanes[lane][next[lane]])
        next[lane] += 1
      }
      merged.append(RowChunk(position: position, source: parts[0].source, rows: union(parts.map { $0.rows ?? [] })))
    }
  }

  /// Ascending lists without common members as one.
  private static func union(_ lists: [[UInt32]]) -> [UInt32] {
    if lists.count == 1 { return lists[0] }
    let size = Int(lists.compactMap(\.last).max() ?? 0) + 1
    let isIn = [Bool](unsafeUninitializedCapacity: size) { isIn, count in
      isIn.update(repeating: false)
      for list in lists { for row in list { isIn[Int(row)] = true } }
      count = size
    }
    return [UInt32](unsafeUninitializedCapacity: size) { out, count in
      for row in 0..<size {
        out[count] = UInt32(truncatingIfNeeded: row)
        count += isIn[row] ? 1 : 0
      }
    }
  }
}
