import WeirCore
import WeirOperators

/// A gold or state table, as a front door has parsed it.
package struct PlanTable {
  package var name: String
  /// What the table is called in messages, such as `gold.views`.
  package var what: String
  /// The kind of records that its rows are made of; nil: all.
  package var from: PlanText?
  package var filter: PlanFilter?
  // Read in the order in which they are checked, so that problems come in that order. nil: missing, which was reported.
  let by: () -> [PlanText]?
  let measures: () -> [PlanMeasure]?
  let partitionBy: () -> [PlanText]
  /// Of a state table: event time after which the row of a key without newer records expires; nil: none does.
  package var ttl: PlanDuration?
  package var span: SourceSpan?
  package var bySpan: SourceSpan?
  package var partitionSpan: SourceSpan?

  /// - Parameter section: `gold` or `state`.
  package init(
    _ name: String, in section: String, by: @autoclosure @escaping () -> [PlanText]?,
    measures: @autoclosure @escaping () -> [PlanMeasure]?, partitionBy: @autoclosure @escaping () -> [PlanText] = []
  ) {
    (self.name, what) = (name, "\(section).\(name)")
    (self.by, self.measures, self.partitionBy) = (by, measures, partitionBy)
  }
}

/// A silver table with a name of its own, as a front door has parsed it.
package struct PlanSilver {
  package var name: String
  /// What the table is called in messages, such as `silver.items`.
  package var what: String
  /// The kind of records that it has rows of; nil: all.
  package var from: PlanText?
  /// `LIST as NAME`: a row for each element of a list; nil: a row for each record.
  package var explode: PlanText?
  package var filter: PlanFilter?
  // Read in the order in which they are checked. nil: all fields.
  let columns: () -> [PlanText]?
  let partitionBy: () -> [PlanText]
  package var span: SourceSpan?
  package var partitionSpan: SourceSpan?

  package init(
    _ name: String, columns: @autoclosure @escaping () -> [PlanText]? = nil, partitionBy: @autoclosure @escaping () -> [PlanText] = []
  ) {
    (self.name, what) = (name, "silver.\(name)")
    (self.columns, self.partitionBy) = (columns, partitionBy)
  }
}

/// `NAME: CALL` of a table's measures.
package struct PlanMeasure {
  package var name: PlanText
  /// nil: not a text, which was reported.
  let call: () -> PlanText?

  package init(_ name: PlanText, _ call: @autoclosure @escaping () -> PlanText?) { (self.name, self.call) = (name, call) }
}

/// The condition of a table's rows.
package struct PlanFilter: ExpressibleByStringLiteral {
  /// nil: not a text, which was reported.
  let text: () -> PlanText?

  package init(_ text: @escaping () -> PlanText?) { self.text = text }
  package init(stringLiteral text: String) { self.init { PlanText(text, at: nil) } }
}

/// A table's window, as it was written.
package struct PlanWindow {
  package var tumbling: PlanDuration?
  package var hopping: PlanDuration?
  package var every: PlanDuration?
  /// nil: not written.
  package var lateness: PlanDuration?
  /// A kind of window of a later version was reported.
  package var isLater = false
  package var span: SourceSpan?

  package init() {}
}

/// The tables: bronze, silver, gold, state.
extension PlanBuilder {
  private static let bronzeColumns = [
    ColumnSchema("key", .binary), ColumnSchema("value", .binary), ColumnSchema("headers", .string), ColumnSchema("_shard", .string),
    ColumnSchema("_position", .int64), ColumnSchema("_arrival", .timestamp), ColumnSchema("_ingest_ts", .timestamp),
    ColumnSchema("_source", .string), ColumnSchema("_run_id", .string),
  ]

  package func bronze(partitionBy: [PlanText] = [], at span: SourceSpan? = nil) {
    namesTables = true
    let spec = BronzeSpec(partitionBy: partitions(partitionBy, "bronze.partition_by", PlanBuilder.bronzeColumns, span))
    set { $0.bronze = spec }
  }

  /// - Parameters:
  ///   - columns: nil: all fields.
  ///   - partitionSpan: of the list of partition columns.
  ///   - span: of the section.
  package func silver(
    columns texts: [PlanText]? = nil, partitionBy: [PlanText] = [], partitionSpan: SourceSpan? = nil, at span: SourceSpan? = nil
  ) {
    namesTables = true
    let star = Array(plan.record.fields.indices)
    var columns: [OutputColumn] = []
    var isWhole = true
    let what = texts == nil ? "silver (all fields)" : "silver.columns"
    for text in texts ?? [PlanText("*", at: span)] {
      do throws(ExpressionError) {
        let added = try counted(compileSelectList(text.text, inputs: plan.inputs, star: star, taken: columns.map(\.name)))
        warnOfNull(added.map(\.expr), what, text)
        columns += added
      } catch {
        diagnostics.report(error, in: what, of: text)
        isWhole = false
      }
    }
    if texts?.isEmpty == true { return }
    let schema = columns.map { ColumnSchema($0.name, $0.expr.type) }
    let spec = SilverSpec(
      columns: columns, partitionBy: isWhole ? partitions(partitionBy, "silver.partition_by", schema, partitionSpan) : [])
    set { $0.silver = spec }
  }

  /// A silver table with a name of its own, or one with a row an element.
  package func silver(_ table: PlanSilver) {
    namesTables = true
    let what = table.what
    // Names of streams may have dots.
    guard isTableName(PlanText(table.name, at: table.span), what, dots: what == "silver") else { return }
    spans[what] = table.span
    if (plan.silverTables ?? []).contains(where: { $0.name.lowercased() == table.name.lowercased() }) {
      diagnostics.report("\(what): the name \(table.name) is taken", "duplicate_name", at: table.span)
    }
    var silver = SilverTable(name: table.name, columns: [])
    silver.kind = kind(table.from, what)
    let scope = scope(silver.kind)
    if let text = table.explode {
      guard let elements = explode(text, "\(what).explode", scope) else { return }
      silver.explode = elements
    }
    let inputs = scope + (silver.explode?.inputs ?? [])
    // The list itself is not repeated in the rows of its elements.
    let list = silver.explode?.list.plainColumn
    let star = plan.record.fieldNumbers(ofKind: silver.kind).filter { $0 != list } + inputs.indices.dropFirst(plan.inputs.count).reversed()
    let written = table.columns()
    let place = written == nil ? "\(what) (all fields)" : "\(what).columns"
    guard let columns = columns(written ?? [PlanText("*", at: table.span)], inputs, star: star, place) else { return }
    silver.columns = columns
    silver.filter = table.filter.flatMap { $0.text() }.flatMap { condition($0, "\(what).where", inputs: inputs) }
    let schema = columns.map { ColumnSchema($0.name, $0.expr.type) }
    silver.partitionBy = partitions(table.partitionBy(), "\(what).partition_by", schema, table.partitionSpan)
    set { $0.silverTables = ($0.silverTables ?? []) + [silver] }
  }

  /// `LIST as NAME`.
  private func explode(_ text: PlanText, _ what: String, _ inputs: [InputColumn]) -> ExplodeSpec? {
    do throws(ExpressionError) {
      let explode = try compileExplode(text.text, inputs: inputs)
      _ = try counted(explode.list)
      return explode
    } catch {
      diagnostics.report(error, in: what, of: text)
      return nil
    }
  }

  /// - Returns: nil: none of them is right, which was reported.
  private func columns(_ texts: [PlanText], _ inputs: [InputColumn], star: [Int], _ what: String) -> [OutputColumn]? {
    var columns: [OutputColumn] = []
    for text in texts {
      do throws(ExpressionError) {
        let added = try counted(compileSelectList(text.text, inputs: inputs, star: star, taken: columns.map(\.name)))
        warnOfNull(added.map(\.expr), what, text)
        columns += added
      } catch {
        diagnostics.report(error, in: what, of: text)
        return nil
      }
    }
    return columns.isEmpty ? nil : columns
  }

  /// Before the gold tables: their windows are in event time.
  package func gold(at span: SourceSpan? = nil) {
    if plan.record.time == nil { diagnostics.report("gold needs record.time: windows are in event time", "missing_key", at: span) }
  }

  /// - Parameter window: nil: missing, which was reported.
  package func gold(_ table: PlanTable, window written: @autoclosure () -> PlanWindow?) {
    namesTables = true
    guard isTableName(PlanText(table.name, at: table.span), "gold") else { return }
    let kind = kind(table.from, table.what)
    let scope = scope(kind)
    let by = by(table, GoldSpec.ownColumns, scope) ?? []
    let measures = measures(table, GoldSpec.ownColumns + by.map(\.name), scope)
    guard let written = written(), let window = window(written, table.what) else { return }
    spans["\(table.what).window"] = written.span
    if written.lateness != nil { statedLateness.insert(table.name) }
    let schema =
      by.map { ColumnSchema($0.name, $0.expr.type) } + [ColumnSchema("window_start", .timestamp), ColumnSchema("window_end", .timestamp)]
      + measures.map { ColumnSchema($0.name, $0.type) } + [ColumnSchema("revision", .int64)]
    let filter = table.filter.flatMap { $0.text() }.flatMap { condition($0, "\(table.what).where", inputs: scope) }
    var spec = GoldSpec(
      name: table.name, filter: filter, by: by, window: window, measures: measures,
      partitionBy: partitions(table.partitionBy(), "\(table.what).partition_by", schema, table.partitionSpan))
    spec.kind = kind
    set { $0.gold.append(spec) }
  }

  package func state(_ table: PlanTable) {
    namesTables = true
    guard isTableName(PlanText(table.name, at: table.span), "state") else { return }
    let kind = kind(table.from, table.what)
    let scope = scope(kind)
    let written = self.by(table, StateSpec.ownColumns, scope)
    let by = written ?? []
    if written?.isEmpty == true {
      diagnostics.report("\(table.what).by must name at least one column", "bad_value", at: table.bySpan, fault: .noColumns)
    }
    let measures = measures(table, StateSpec.ownColumns + by.map(\.name), scope)
    var spec = StateSpec(
      name: table.name, filter: table.filter.flatMap { $0.text() }.flatMap { condition($0, "\(table.what).where", inputs: scope) }, by: by,
      measures: measures, ttlMicroseconds: table.ttl.flatMap { ttl($0, table.what) })
    spec.kind = kind
    set { $0.state.append(spec) }
  }

  /// - Returns: nil: it is wrong, which was reported.
  private func ttl(_ ttl: PlanDuration, _ what: String) -> Int64? {
    if plan.record.time == nil {
      diagnostics.report("\(what).ttl needs record.time: rows expire by event time", "missing_key", at: ttl.span)
    }
    guard let microseconds = ttl.microseconds() else { return nil }
    guard microseconds > 0, microseconds <= QuantityText.durationMax else {
      diagnostics.report(
        "\(what).ttl: \(ttl.text) is not between 1us and 36500d; without ttl rows never expire", "bad_duration", at: ttl.span)
      return nil
    }
    return microseconds
  }

  /// - Returns: nil: it is missing.
  private func by(_ table: PlanTable, _ reserved: [String], _ inputs: [InputColumn]) -> [OutputColumn]? {
    guard let texts = table.by() else { return nil }
    var columns: [OutputColumn] = []
    for text in texts {
      do throws(ExpressionError) {
        let added = try counted(compileSelectList(text.text, inputs: inputs, star: [], taken: reserved + columns.map(\.name)))
        warnOfNull(added.map(\.expr), "\(table.what).by", text)
        columns += added
      } catch { diagnostics.report(error, in: "\(table.what).by", of: text) }
    }
    if let nested = columns.first(where: \.expr.type.isNested) {
      diagnostics.report(
        "\(table.what).by: \(nested.name) is \(nested.expr.type.name), and a list, struct or map cannot be used there", "type_mismatch",
        at: table.bySpan)
    }
    // Tables by key have a row for each shard.
    let origins = columns.compactMap { column in column.expr.plainColumn.map { plan.inputs[$0].origin } }
    if hasSource, plan.source.live?.misplaced == .perShard, let key = plan.record.soleKey, origins.contains(.field(key)),
      !origins.contains(.system(.shard))
    {
      let shard = SystemColumn.shard.rawValue
      do throws(ExpressionError) {
        columns += try compileSelectList(shard, inputs: plan.inputs, star: [], taken: reserved + columns.map(\.name))
      } catch {
        diagnostics.report(error, in: "\(table.what).by (misplaced: per_shard adds \(shard))", of: PlanText(shard, at: table.bySpan))
      }
    }
    return columns
  }

  private func measures(_ table: PlanTable, _ taken: [String], _ inputs: [InputColumn]) -> [Measure] {
    var names = TableNames(taken)
    return (table.measures() ?? []).compactMap { measure in
      let name = measure.name.text
      if let reason = names.add(name) {
        diagnostics.report("\(table.what).measure: \(reason)", TableNames.code(name), at: measure.name.span)
      }
      guard let text = measure.call() else { return nil }
      do throws(ExpressionError) {
        let call = try compileMeasure(text.text, inputs: inputs)
        if let argument = call.argument { warnOfNull([try counted(argument)], "\(table.what).measure.\(name)", text) }
        return Measure(name: name, function: call.function, argument: call.argument, type: call.type)
      } catch {
        diagnostics.report(error, in: "\(table.what).measure.\(name)", of: text)
        return nil
      }
    }
  }

  private func window(_ window: PlanWindow, _ what: String) -> WindowSpec? {
    let lateness = window.lateness.flatMap { $0.microseconds() } ?? 0
    func impossible(_ why: String, _ span: SourceSpan?) -> WindowSpec? {
      diagnostics.report("\(what).window: \(why)", "impossible_window", at: span)
      return nil
    }
    if let tumbling = window.tumbling {
      if window.hopping != nil || window.every != nil { return impossible("either tumbling, or hopping with every, not both", window.span) }
      guard let size = tumbling.microseconds() else { return nil }
      return size > 0 ? WindowSpec(size: size, slide: size, lateness: lateness) : impossible("a window needs a length", tumbling.span)
    }
    guard let hopping = window.hopping else {
      return window.isLater ? nil : impossible("needs tumbling: 10s, or hopping: 60s with every: 1s", window.span)
    }
    guard let every = window.every else {
      return impossible("hopping needs every: the time between the starts of two windows", window.span)
    }
    guard let size = hopping.microseconds(), let slide = every.microseconds() else { return nil }
    guard slide > 0, size > 0 else { return impossible("a window needs a length", window.span) }
    guard size % slide == 0 else {
      return impossible("its length, \(hopping.text), must be a multiple of every, \(every.text)", window.span)
    }
    guard size / slide <= 10_000 else {
      return impossible("a record would be in \(size / slide) windows; the maximum is 10000", window.span)
    }
    return WindowSpec(size: size, slide: slide, lateness: lateness)
  }

  // MARK: Partitions

  /// - Parameter columns: of the table.
  private func partitions(_ texts: [PlanText], _ what: String, _ columns: [ColumnSchema], _ span: SourceSpan?) -> [PartitionColumn] {
    guard !texts.isEmpty else { return [] }
    var result: [PartitionColumn] = []
    for text in texts {
      for part in text.text.split(separator: ",") {
        guard let partition = partition(PlanText(part.trimmingSpaces, at: text.span), what, columns) else { continue }
        if result.contains(where: { ColumnNames.folded($0.name) == ColumnNames.folded(partition.name) }) {
          diagnostics.report("\(what): duplicate \(partition.name)", "duplicate_name", at: text.span)
        }
        result.append(partition)
      }
    }
    if !columns.isEmpty, result.filter({ $0.transform == .identity }).count == columns.count {
      diagnostics.report("\(what): a table needs a column that is not a partition column", "bad_value", at: span)
    }
    return result
  }

  private func partition(_ text: PlanText, _ what: String, _ columns: [ColumnSchema]) -> PartitionColumn? {
    var transform = PartitionColumn.Transform.identity
    var name = text.text
    if let bracket = text.text.firstIndex(of: "("), text.text.hasSuffix(")") {
      let word = text.text[..<bracket].trimmingSpaces
      guard let known = PartitionColumn.Transform(rawValue: word), known != .identity else {
        diagnostics.report(
          "\(what): \(word) must be year, month, day or hour", "bad_value", at: text.span,
          suggestion: nearestName(word, in: ["year", "month", "day", "hour"]))
        return nil
      }
      transform = known
      name = text.text[text.text.index(after: bracket)...].dropLast().trimmingSpaces
    }
    guard let column = columns.first(where: { $0.name == name }) else {
      diagnostics.report(
        "\(what): the table has no column \(name)", "unknown_column", at: text.span, suggestion: nearestName(name, in: columns.map(\.name)),
        fault: .unknownPartition)
      return nil
    }
    if column.type.isNested {
      diagnostics.report(
        "\(what): \(name) is \(column.type.name), and a list, struct or map cannot be used there", "type_mismatch", at: text.span)
      return nil
    }
    if transform != .identity, column.type != .timestamp {
      diagnostics.report(
        "\(what): \(name) is \(column.type.name), \(transform.rawValue) needs a timestamp", "type_mismatch", at: text.span)
    }
    let own = transform == .identity ? name : "\(name)_\(transform.rawValue)"
    if PartitionStep.nameBytes(own) > PartitionStep.nameBytesMax {
      diagnostics.report(
        "\(what): the name \(own.shortened(toBytes: 60)) has \(PartitionStep.nameBytes(own)) bytes as part of a directory's name, where ASCII characters other than letters, digits, -, _, ., + and blanks count three times; a partition column has at most \(PartitionStep.nameBytesMax): rename the column",
        "bad_name", at: text.span)
    }
    if transform != .identity, let same = columns.first(where: { ColumnNames.folded($0.name) == ColumnNames.folded(own) }) {
      diagnostics.report("\(what): the table already has a column \(same.name)", "duplicate_name", at: text.span)
    }
    return PartitionColumn(transform: transform, column: name, name: own)
  }
}
