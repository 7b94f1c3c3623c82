import WeirCore

/// The buckets of each kind of record (law 4): together they are those of all records. Only of plans that have several kinds.
struct KindCounts {
  private let names: [String]
  /// The field of what no other field reads; nil: it is not kept.
  private let rescued: Int?
  /// By number of the kind; those of records of no kind last.
  private var counts: [BucketCounts]

  init(_ route: RouteSpec, rescued: Int?) {
    self.rescued = rescued
    names = route.kinds.map(\.name) + [RouteSpec.noKind]
    counts = .init(repeating: BucketCounts(), count: names.count)
  }

  mutating func reset() { counts = .init(repeating: BucketCounts(), count: names.count) }

  /// Those that there are.
  var byName: [String: BucketCounts] {
    Dictionary(uniqueKeysWithValues: zip(names, counts).filter { $1 != BucketCounts() })
  }

  /// The records of a lane's part of a deal.
  /// - Parameter accepted: places of those that are: what proceeds and is not among them is a duplicate.
  mutating func add(_ next: DealtBlocks, _ range: Range<Int>, accepted: UnsafeBufferPointer<UInt32>) {
    next.forEachBlock(of: next.deal.rows[range]) { block, rows in
      guard let kinds = block.decoded.kinds else { return }
      for row in rows {
        let kind = number(kinds[Int(row)])
        switch block.columns.verdict[Int(row)] {
        case PreparedBlock.Verdict.proceeds: counts[kind].duplicate += 1
        case PreparedBlock.Verdict.filtered: counts[kind].filtered += 1
        default: counts[kind].quarantined += 1
        }
      }
    }
    next.forEachBlock(of: accepted.lazy.map { UInt32(next.deal.row(Int($0))) }) { block, rows in
      guard let kinds = block.decoded.kinds else { return }
      for row in rows {
        let kind = number(kinds[Int(row)])
        counts[kind].duplicate -= 1
        counts[kind].accepted += 1
        if let rescued, block.decoded.columns[rescued].isValid(Int(row)) { counts[kind].rescued += 1 }
      }
    }
  }

  private func number(_ kind: UInt8) -> Int { min(Int(kind), counts.count - 1) }
}
