import WeirCore
import WeirOperators

/// Partition values of rows.
enum PartitionValues {
  /// What rows of one partition share: the unit of time, or the value itself.
  static func codes(_ layout: TableLayout, _ columns: [Column]) -> [Column] {
    zip(layout.partitionBy, layout.partitionFrom).map { partition, from in
      let column = columns[from]
      guard partition.transform != .identity, case .int64(let times) = column.values else { return column }
      return Column(type: .int64, values: .int64(times.map { unit(partition.transform, $0) }), validity: column.validity)
    }
  }

  /// The code of one value.
  static func code(_ partition: PartitionColumn, _ value: Literal) -> Literal {
    guard partition.transform != .identity, case .timestamp(let time) = value else { return value }
    return .int64(unit(partition.transform, time))
  }

  private static func unit(_ transform: PartitionColumn.Transform, _ t: Int64) -> Int64 {
    switch transform {
    case .hour: return CivilTime.floorDivide(t, 3_600_000_000)
    case .day, .identity: return CivilTime.day(ofMicroseconds: t)
    case .month, .year:
      let date = CivilTime.date(ofDay: CivilTime.day(ofMicroseconds: t))
      return transform == .year ? date.year : date.year * 12 + date.month - 1
    }
  }

  /// The value as text; nil is null.
  static func text(_ partition: PartitionColumn, _ code: Literal) -> String? {
    switch (partition.transform, code) {
    case (_, .null): return nil
    case (.hour, .int64(let hours)):
      let day = CivilTime.floorDivide(hours, 24)
      let hour = hours - day * 24
      return CivilTime.dateText(ofDay: day) + "-" + (hour < 10 ? "0" : "") + String(hour)
    case (.day, .int64(let day)): return CivilTime.dateText(ofDay: day)
    case (.month, .int64(let months)):
      let year = CivilTime.floorDivide(months, 12)
      let month = months - year * 12 + 1
      return padYear(year) + "-" + (month < 10 ? "0" : "") + String(month)
    case (.year, .int64(let year)): return padYear(year)
    case (_, let value): return identity(value)
    }
  }

  private static func padYear(_ year: Int64) -> String {
    let text = String(year)
    return String(repeating: "0", count: max(0, 4 - text.utf8.count)) + text
  }

  private static func identity(_ value: Literal) -> String? {
    switch value {
    case .null: nil
    case .bool(let v): v ? "true" : "false"
    case .int64(let v): String(v)
    // Equal values are one partition.
    case .double(let v): v == 0 ? "0.0" : String(v)
    case .decimal(let v, _, let scale): DecimalText.text(v, scale: scale)
    // An empty text is null as a partition's value: the log of a table and its directories have no empty ones.
    case .string(let v): v.isEmpty ? nil : v
    case .binary(let v): v.isEmpty ? nil : String(decoding: v, as: UTF8.self)
    case .timestamp(let t):
      // Readers take "{year}-{month}-{day} {hour}:{minute}:{second}" or ISO 8601 with Z; the latter says which zone.
      CivilTime.text(ofMicroseconds: t)
    }
  }
}
