import WeirCore

/// Several kinds of records in one stream: decodes the field that says each record's kind first, and then the records of each kind with
/// that kind's own fields. So nothing but this field can say of which kind a record is, and no record is judged by the fields of another
/// kind.
///
/// A format knows nothing of kinds: each kind has a decoder of it. Records are read twice, the first time for one field.
package final class RouteDecoder: BlockDecoder {
  /// Decodes the records of one kind, with the place of each of its fields among the columns.
  private struct KindDecoder {
    let decoder: any BlockDecoder
    let columns: [Int]
  }

  private let route: RouteSpec
  private let fields: [Field]
  private let isRead: [Bool]
  private let selector: any BlockDecoder
  private let kinds: [KindDecoder]
  /// Of the event time alone, for records that are left out: they count towards the watermark if it is valid. nil: there is none.
  private let dropped: KindDecoder?
  /// What the field says of each kind, by length.
  private var values: [(text: [UInt8], kind: UInt8)] = []

  init(_ route: RouteSpec, _ record: RecordSpec, _ request: DecoderRequest) {
    let format = record.recordFormat
    let isRead = request.read ?? [Bool](repeating: true, count: request.fields.count)
    func decoder(_ fields: [KindField]) -> KindDecoder {
      KindDecoder(
        decoder: format.decoder(DecoderRequest(fields: fields.map(\.field), read: fields.map { isRead[$0.index] })),
        columns: fields.map(\.index))
    }
    (self.route, self.isRead, fields) = (route, isRead, request.fields)
    selector = format.decoder(DecoderRequest(fields: [request.fields[route.by]], keepsBlankLines: request.keepsBlankLines))
    kinds = route.kinds.indices.map { decoder(record.kindFields($0)) }
    dropped =
      route.otherwise == .drop ? record.time.map { decoder([KindField(index: $0.field, field: request.fields[$0.field])]) } : nil
    for (number, kind) in route.kinds.enumerated() { for value in kind.values { values.append((Array(value.utf8), UInt8(number))) } }
  }

  package func decode(_ raw: RawBlock) -> DecodedBlock {
    var block = selector.decode(raw)
    let kinds = self.kinds(&block)
    var columns = KindColumns(fields, isRead: isRead, count: block.count)
    for (number, kind) in self.kinds.enumerated() { decode(kind, UInt8(number), kinds, &block, &columns) }
    if let dropped {
      decode(dropped, RouteSpec.dropped, kinds, &block, &columns)
    } else {
      for row in 0..<block.count where kinds[row] == RouteSpec.dropped { block.valid[row] = false }
    }
    block.columns = columns.finish()
    block.rejections.sort { $0.row < $1.row }
    block.kinds = kinds
    return block
  }

  /// Of each record its kind. Those of none are rejected, or left out.
  private func kinds(_ block: inout DecodedBlock) -> [UInt8] {
    let texts = RouteDecoder.text(of: block.columns[0], count: block.count)
    let isDropped = route.otherwise == .drop
    guard case .string(let says) = texts.values else { preconditionFailure("a route's field is a text") }
    var last = 0
    var kinds = [UInt8](repeating: RouteSpec.unknown, count: block.count)
    for row in 0..<block.count where block.valid[row] {
      if texts.isValid(row), let found = find(says[row], last) {
        last = found
        kinds[row] = values[found].kind
      } else if isDropped {
        kinds[row] = RouteSpec.dropped
      } else {
        block.valid[row] = false
        block.rejections.append((row, Rejection(stage: .route, reason: reason(texts.isValid(row) ? says[row] : nil))))
      }
    }
    return kinds
  }

  /// The place of a value. Neighbouring records are often of one kind.
  private func find(_ text: StringRef, _ guess: Int) -> Int? {
    func isEqual(_ value: [UInt8]) -> Bool { value.count == text.count && value.withUnsafeBufferPointer { $0.elementsEqual(text.bytes) } }
    return isEqual(values[guess].text) ? guess : values.firstIndex { isEqual($0.text) }
  }

  private func reason(_ text: StringRef?) -> String {
    let title = fields[route.by].title
    guard let text else { return "field \(title), which says the kind, is missing or null" }
    return "no kind of record has \(title) '\(text.description.shortened(toBytes: 100))'"
  }

  /// The field's values as texts, as they are written in the pipeline.
  private static func text(of column: Column, count: Int) -> Column {
    switch column.values {
    case .int64(let numbers): text(column, numbers.map(String.init))
    case .bool(let truths): text(column, truths.map { $0 ? "true" : "false" })
    default: column
    }
  }

  private static func text(_ column: Column, _ texts: [String]) -> Column {
    let arena = Arena()
    return Column(type: .string, values: .string(texts.map { arena.copy($0) }), validity: column.validity, owners: [arena])
  }

  /// Decodes the records of one kind in place.
  private func decode(_ decoder: KindDecoder, _ kind: UInt8, _ kinds: [UInt8], _ block: inout DecodedBlock, _ columns: inout KindColumns) {
    let rows = kinds.indices.lazy.filter { kinds[$0] == kind }.map { UInt32($0) }
    let records = Array(rows)
    guard !records.isEmpty else { return }
    var part = block.raw
    part.framing = .spans(offset: block.offset.gathered(records), length: block.length.gathered(records))
    part.details = block.raw.details?.repeated(records)
    part.schemas = block.raw.schemas?.taking(records)
    let decoded = decoder.decoder.decode(part)
    precondition(decoded.count == records.count, "a kind's decoder gives a row for each record")
    columns.add(decoded.columns, decoder.columns, at: records)
    for (number, isValid) in decoded.valid.enumerated() where !isValid { block.valid[Int(records[number])] = false }
    // What is left out has no reason.
    guard kind != RouteSpec.dropped else { return }
    for (row, rejection) in decoded.rejections { block.rejections.append((Int(records[row]), rejection)) }
  }
}

/// Columns of all fields, put together from those of the kinds. A field that a record's kind has not is null.
private struct KindColumns {
  private let fields: [Field]
  private let isRead: [Bool]
  private let count: Int
  private var parts: [[(rows: [UInt32], column: Column)]]

  init(_ fields: [Field], isRead: [Bool], count: Int) {
    (self.fields, self.isRead, self.count) = (fields, isRead, count)
    parts = .init(repeating: [], count: fields.count)
  }

  mutating func add(_ columns: [Column], _ numbers: [Int], at rows: [UInt32]) {
    for (column, number) in zip(columns, numbers) where isRead[number] { parts[number].append((rows, column)) }
  }

  func finish() -> [Column] {
    fields.indices.map { number in
      isRead[number]
        ? column(fields[number].type, parts[number]) : Column(type: fields[number].type, values: .none(of: fields[number].type))
    }
  }

  private func column(_ type: ColumnType, _ parts: [(rows: [UInt32], column: Column)]) -> Column {
    func spread<T: BitwiseCopyable>(_ none: T, _ values: (Column.Values) -> [T]?) -> [T] {
      var all = [T](repeating: none, count: count)
      for (rows, column) in parts {
        guard let values = values(column.values) else { preconditionFailure("a column has the type of its field") }
        for (row, value) in zip(rows, values) { all[Int(row)] = value }
      }
      return all
    }
    let values: Column.Values =
      switch Column.Values.none(of: type) {
      case .bool: .bool(spread(false) { if case .bool(let v) = $0 { v } else { nil } })
      case .int64: .int64(spread(0) { if case .int64(let v) = $0 { v } else { nil } })
      case .double: .double(spread(0) { if case .double(let v) = $0 { v } else { nil } })
      case .decimal: .decimal(spread(0) { if case .decimal(let v) = $0 { v } else { nil } })
      case .string: .string(spread(StringRef.empty) { if case .string(let v) = $0 { v } else { nil } })
      }
    return Column(type: type, values: values, validity: validity(parts), owners: parts.flatMap(\.column.owners))
  }

  private func validity(_ parts: [(rows: [UInt32], column: Column)]) -> [Bool]? {
    let isWhole = parts.reduce(0) { $0 + $1.rows.count } == count && parts.allSatisfy { $0.column.validity == nil }
    if isWhole { return nil }
    var all = [Bool](repeating: false, count: count)
    for (rows, column) in parts {
      for (number, row) in rows.enumerated() { all[Int(row)] = column.isValid(number) }
    }
    return all
  }
}
