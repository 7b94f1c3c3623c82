import WeirCore
import WeirOperators

/// The key's bytes: what partitioning and dedup see, and bronze keeps.
enum KeyText {
  static func null(count: Int) -> Column {
    Column(
      type: .string, values: .string([StringRef](repeating: .empty, count: count)),
      validity: [Bool](repeating: false, count: count))
  }

  /// Of each row the first of these fields that is not null.
  static func column(_ keys: [Int], of columns: [Column], count: Int) -> Column {
    guard let first = keys.first else { return null(count: count) }
    let column = column(columns[first], count: count)
    guard keys.count > 1, column.validity != nil else { return column }
    let all = [column] + keys.dropFirst().map { self.column(columns[$0], count: count) }
    var builder = ColumnBuilder(.string)
    for row in 0..<count { builder.append((all.first { $0.isValid(row) } ?? column).literal(row)) }
    return builder.finish()
  }

  /// A string key is its own bytes; others are their canonical text.
  static func column(_ key: Column, count: Int) -> Column {
    if key.type == .string { return key }
    var builder = ColumnBuilder(.string)
    for row in 0..<count {
      switch key.literal(row) {
      case .int64(let v), .timestamp(let v): builder.append(.string(String(v)))
      case .bool(let v): builder.append(.string(v ? "true" : "false"))
      case .decimal(let v, _, let scale): builder.append(.string(DecimalText.text(v, scale: scale)))
      default: builder.append(.null)
      }
    }
    return builder.finish()
  }
}
