import WeirCore
import WeirOperators

/// The parallel stage: raw block in, ``PreparedBlock`` out. One preparer serves one block at a time.
///
/// Everything that is a pure function of the records happens here, over whole columns, so that the lanes are left with
/// what has state: dedup, windows, keyed state. Errors of expressions are known here too: such a record is rejected before a lane
/// sees it, so it uses up no id.
final class BlockPreparer {
  private let compiled: CompiledPlan
  private let decoder: any BlockDecoder
  /// nil: one lane has all.
  private let dealer: LaneDealer?
  private let census: PartitionCensus
  private let lookups: LookupSet
  /// Fields of the key, and of the id: no block allocates a list of them.
  private let keys: [Int]
  private let ids: [Int]

  init(_ compiled: CompiledPlan, _ dealer: LaneDealer?) {
    self.compiled = compiled
    self.dealer = dealer
    census = PartitionCensus(compiled.plan)
    lookups = LookupSet(compiled.lookups)
    keys = compiled.plan.record.keys
    ids = compiled.plan.dedup?.ids ?? []
    decoder = compiled.plan.record.decoder(read: compiled.fieldsRead, keepsBlankLines: compiled.keepsBlankLines)
  }

  /// - Parameter other: lookups instead of those that the plan was compiled with.
  func prepare(_ raw: RawBlock, _ other: LookupSet? = nil) -> PreparedBlock {
    let lookups = other ?? self.lookups
    let plan = compiled.plan
    var decoded = decoder.decode(raw)
    let count = decoded.count
    let times = times(decoded)
    compiled.eventTimes?.apply(to: &decoded, times: times)
    let key = KeyText.column(keys, of: decoded.columns, count: count)
    var block = PreparedBlock(
      decoded: decoded, lookups: lookups, key: key,
      columns: LaneColumns(verdict: BlockPreparer.verdicts(decoded), time: times),
      rejections: Dictionary(uniqueKeysWithValues: decoded.rejections.lazy.map { ($0.row, $0.rejection) }), failures: [],
      silver: [], groups: [])
    for row in block.decoded.dropped { block.columns.verdict[row] = PreparedBlock.Verdict.filtered }
    // Here, where the bytes of the keys are in the cache.
    if let dealer { block.laneOf = dealer.lanes(of: key, count: count) }
    let inputs = self.inputs(decoded, lookups, time: block.columns.time)
    check(&block, inputs)
    identify(&block)
    evaluate(&block, inputs)
    (block.partitions, block.partitionTextBytes) = census.silver(block)
    return block
  }

  private static func verdicts(_ decoded: DecodedBlock) -> [UInt8] {
    guard let kinds = decoded.kinds else { return decoded.valid.map { $0 ? 0 : PreparedBlock.Verdict.rejected } }
    return zip(decoded.valid, kinds).map { isValid, kind in
      kind == RouteSpec.dropped ? PreparedBlock.Verdict.filtered : isValid ? 0 : PreparedBlock.Verdict.rejected
    }
  }

  private func times(_ decoded: DecodedBlock) -> [Int64] {
    guard let time = compiled.plan.record.time, case .int64(let values) = decoded.columns[time.field].values else {
      return [Int64](repeating: 0, count: decoded.count)
    }
    return values
  }

  /// The columns that expressions use, by `Plan.inputs`; nil: none does.
  private func inputs(_ decoded: DecodedBlock, _ lookups: LookupSet, time: [Int64]) -> [Column?] {
    let plan = compiled.plan
    var rowsOf = [[Int32]?](repeating: nil, count: plan.lookups.count)
    return zip(plan.inputs, compiled.inputsRead).map { input, isRead in
      guard isRead else { return nil }
      switch input.origin {
      case .field(let field): return decoded.columns[field]
      case .lookup(let lookup, let column):
        let rows: [Int32]
        if let known = rowsOf[lookup] {
          rows = known
        } else {
          rows = lookups.tables[lookup].probe(decoded.columns[plan.lookups[lookup].key], count: decoded.count)
          rowsOf[lookup] = rows
        }
        return lookups.tables[lookup].gather(column: column, rows: rows)
      case .exploded, .hidden: preconditionFailure("\(input.name) is not an input of a whole plan")
      case .system(.arrival): return Column(type: .timestamp, values: .int64(decoded.details?.arrivals(orTimes: time) ?? time))
      case .system(.position):
        let positions = decoded.details?.positions ?? decoded.offset.map { decoded.raw.position + Int64($0) }
        return Column(type: .int64, values: .int64(positions))
      case .system(.shard):
        let arena = Arena()
        let shard = arena.copy(decoded.details?.shard ?? plan.source.stream)
        return Column(type: .string, values: .string([StringRef](repeating: shard, count: decoded.count)), owners: [arena])
      case .system(.kind): return decoded.kindNames(plan.record.route)
      }
    }
  }

  /// Checks in their order: the first that is false decides.
  private func check(_ block: inout PreparedBlock, _ inputs: [Column?]) {
    for (check, evaluator) in compiled.checks {
      var result = evaluator.rows(thatAre: false, inputs, count: block.count)
      if let kind = check.kind {
        result = (block.decoded.narrow(result.rows, to: kind), result.errors.filter { block.decoded.isOf(kind, $0.row) })
      }
      for (row, reason) in result.errors where block.columns.verdict[row] == PreparedBlock.Verdict.proceeds {
        block.columns.verdict[row] = PreparedBlock.Verdict.rejected
        block.rejections[row] = Rejection(stage: .check, reason: "check \(check.name): \(reason)")
      }
      for row in 0..<block.count where result.rows[row] && block.columns.verdict[row] == PreparedBlock.Verdict.proceeds {
        switch check.otherwise {
        case .drop: block.columns.verdict[row] = PreparedBlock.Verdict.filtered
        case .quarantine, .fail:
          block.columns.verdict[row] = PreparedBlock.Verdict.rejected
          block.rejections[row] = Rejection(stage: .check, reason: "check \(check.name) is false: \(check.that.text)")
          if check.otherwise == .fail { block.failures.append((row, check.name)) }
        }
      }
    }
  }

  private func identify(_ block: inout PreparedBlock) {
    guard let first = ids.first else { return }
    var parts: [Column] = []
    parts.reserveCapacity(ids.count + 2)
    parts.append(block.key)
    var hasID = block.decoded.columns[first].validity
    for (place, id) in ids.enumerated() {
      let column = block.decoded.columns[id]
      parts.append(column)
      guard place > 0, let validity = column.validity else { continue }
      hasID = hasID.map { zip($0, validity).map { $0 && $1 } } ?? validity
    }
    // Ids of one kind say nothing of those of another.
    if let route = compiled.plan.record.route { parts.append(block.decoded.kindNames(route)) }
    block.columns.ids = RowHash.hash(parts, count: block.count)
    block.columns.hasID = hasID
  }

  private func evaluate(_ block: inout PreparedBlock, _ inputs: [Column?]) {
    let count = block.count
    for output in compiled.silver { block.silver.append(column(output, inputs, &block, mask: nil)) }
    for table in compiled.rowTables {
      var maker = TableRowMaker(table, inputs, count: count)
      let verdicts = block.columns.verdict
      let (kind, decoded) = (table.kind, block.decoded)
      block.tables.append(
        maker.make { verdicts[$0] == PreparedBlock.Verdict.proceeds && (kind == nil || decoded.isOf(kind!, $0)) })
      for (record, reason) in maker.errors { block.reject(record, reason) }
    }
    for aggregate in compiled.aggregates {
      var mask = aggregate.kind.map { block.decoded.rows(ofKind: $0) }
      if let filter = aggregate.filter {
        let result = filter.evaluator.rows(thatAre: true, inputs, count: count)
        for (row, reason) in result.errors where mask?[row] ?? true { block.reject(row, filter.failure(reason)) }
        mask = mask.map { zip($0, result.rows).map { $0 && $1 } } ?? result.rows
      }
      let by = aggregate.by.map { column($0, inputs, &block, mask: mask) }
      let arguments = aggregate.arguments.map { $0.map { column($0, inputs, &block, mask: mask) } }
      block.groups.append(by)
      block.columns.aggregates.append(
        .init(
          isFinishedInLane: aggregate.isFinishedInLane, mask: mask, hashes: RowHash.hash(by, count: count, mask: mask), arguments: arguments
        ))
    }
  }

  private func column(
    _ output: CompiledPlan.Output, _ inputs: [Column?], _ block: inout PreparedBlock, mask: [Bool]?
  ) -> Column {
    let result = output.evaluator.evaluate(inputs, count: block.count)
    for (row, reason) in result.errors where mask?[row] ?? true { block.reject(row, output.failure(reason)) }
    return result.column
  }
}

extension PreparedBlock {
  /// A table's expression has no value for the row. What rejected or filtered the row before is kept.
  fileprivate mutating func reject(_ row: Int, _ reason: String) {
    guard columns.verdict[row] == Verdict.proceeds else { return }
    columns.verdict[row] = Verdict.rejected
    rejections[row] = Rejection(stage: .expression, reason: reason)
  }
}
