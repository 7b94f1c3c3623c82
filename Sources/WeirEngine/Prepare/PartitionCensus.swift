import WeirCore
import WeirOperators

/// Which partitions of tables a block's rows go to, before it is known which of the rows do: counted, they bound the files of an epoch.
///
/// Most blocks have one day and one value; those are found without looking at each row.
struct PartitionCensus: Sendable {
  /// Number of a table in the plan, into the hashes: equal values of two tables are two partitions.
  private let silver: (number: Int, layout: TableLayout)?
  /// Of silver tables with names of their own: which of a block's.
  private let rows: [(table: Int, number: Int, layout: TableLayout)]
  private let bronze: (number: Int, layout: TableLayout)?
  /// Arrivals of one partition, in microseconds: rejected and late rows go by the day, bronze as the plan says.
  private let arrivalUnit: Int64

  init(_ plan: Plan) {
    let all = Array(TableLayout.all(plan).enumerated())
    func find(_ kind: TableKind) -> (Int, TableLayout)? {
      all.first { $0.element.kind == kind && !$0.element.partitionBy.isEmpty }.map { ($0.offset, $0.element) }
    }
    silver = find(.silver)
    bronze = find(.bronze)
    rows = (plan.silverTables ?? []).indices.compactMap { table in find(.silverTable(table)).map { (table, $0.0, $0.1) } }
    arrivalUnit =
      (bronze?.layout.partitionBy ?? []).filter { PartitionCensus.arrivalColumns.contains($0.column) }.map { partition in
        switch partition.transform {
        case .identity: 1
        case .hour: 3_600_000_000
        case .day, .month, .year: PartitionCensus.day
        }
      }.min() ?? PartitionCensus.day
  }

  private static let arrivalColumns: Set<String> = ["_arrival", "_ingest_ts"]
  private static let day: Int64 = 86_400_000_000

  /// A text of fewer bytes is part of what a partition is reckoned with (``CutRule/partitionBytes``).
  private static let longText = 256

  /// Those of silver, and the bytes of their long texts.
  func silver(_ block: PreparedBlock) -> (partitions: [Hash128], textBytes: Int64) {
    var all = silver.map { PartitionCensus.of($0.layout, block.silver, count: block.count, table: $0.number) } ?? ([], 0)
    for (table, number, layout) in rows {
      // The columns come some rows at a time: a partition may be in each of them.
      var seen: Set<Hash128> = []
      block.tables[table].forEachColumns(layout.partitionFrom.contains) { columns, count in
        let found = PartitionCensus.of(layout, columns, count: count, table: number)
        all = (all.partitions + found.partitions.filter { seen.insert($0).inserted }, all.textBytes + found.textBytes)
      }
    }
    return all
  }

  private static func of(
    _ layout: TableLayout, _ columns: [Column], count: Int, table number: Int
  ) -> (partitions: [Hash128], textBytes: Int64) {
    guard count > 0 else { return ([], 0) }
    if let one = PartitionCensus.single(layout, columns, table: number) { return ([one], 0) }
    let codes = PartitionValues.codes(layout, columns)
    var textBytes: Int64 = 0
    let partitions = PartitionCensus.distinct(codes, count: count, table: number) { row in
      for code in codes {
        guard case .string(let texts) = code.values, texts[row].count >= PartitionCensus.longText else { continue }
        textBytes += Int64(texts[row].count)
      }
    }
    return (partitions, textBytes)
  }

  /// The partition of all rows, where they are partitioned by a part of one timestamp, and it is the same in the first and the last of them.
  private static func single(_ layout: TableLayout, _ columns: [Column], table: Int) -> Hash128? {
    guard layout.partitionBy.count == 1, layout.partitionBy[0].transform != .identity else { return nil }
    let column = columns[layout.partitionFrom[0]]
    guard column.validity == nil, case .int64(let times) = column.values else { return nil }
    return times.withUnsafeBufferPointer { times in
      guard var low = times.first else { return nil }
      var high = low
      for time in times {
        low = min(low, time)
        high = max(high, time)
      }
      var ends = columns
      ends[layout.partitionFrom[0]] = Column(type: column.type, values: .int64([low, high]))
      let both = distinct(PartitionValues.codes(layout, ends), count: 2, table: table)
      return both.count == 1 ? both[0] : nil
    }
  }

  /// Those of the tables of records as received, once arrivals are known.
  func received(_ block: PreparedBlock) -> [Hash128] {
    guard block.count > 0 else { return [] }
    return arrivals(block) + (bronze.map { bronze($0.number, $0.layout, block) } ?? [])
  }

  private func bronze(_ number: Int, _ layout: TableLayout, _ block: PreparedBlock) -> [Hash128] {
    guard layout.partitionBy.contains(where: { !PartitionCensus.arrivalColumns.contains($0.column) }) else { return [] }
    var codes: [Column] = []
    for partition in layout.partitionBy {
      switch partition.column {
      case "key": codes.append(block.key)
      case "value":
        codes.append(Column(type: .string, values: .string((0..<block.count).map { block.value($0) })))
      case "_position": codes.append(Column(type: .int64, values: .int64((0..<block.count).map { block.position($0) })))
      case "_arrival", "_ingest_ts": codes.append(Column(type: .int64, values: .int64(block.arrival.map { unit($0) })))
      // The same in all records of a shard, or next to.
      default: break
      }
    }
    return codes.isEmpty ? [] : PartitionCensus.distinct(codes, count: block.count, table: number)
  }

  private func unit(_ time: Int64) -> Int64 { CivilTime.floorDivide(time, arrivalUnit) }

  private func arrivals(_ block: PreparedBlock) -> [Hash128] {
    block.arrival.withUnsafeBufferPointer { times in
      guard var low = times.first else { return [] }
      var high = low
      for time in times {
        low = min(low, time)
        high = max(high, time)
      }
      let units = unit(low) == unit(high) ? [unit(low)] : Set(times.lazy.map { unit($0) })
      return units.map { Hash128(low: UInt64(bitPattern: $0), high: 1) }
    }
  }

  /// - Parameter first: called with the first row of each.
  private static func distinct(_ codes: [Column], count: Int, table: Int, first: (_ row: Int) -> Void = { _ in }) -> [Hash128] {
    let hashes = RowHash.hash(codes, count: count)
    var seen: Set<Hash128> = []
    var last: Hash128?
    for (row, hash) in hashes.enumerated() where hash != last {
      if seen.insert(Hash128(low: hash.low, high: hash.high ^ UInt64(table))).inserted { first(row) }
      last = hash
    }
    return Array(seen)
  }
}
