import WeirCore
import WeirTesting

/// A table of random values of every type.
struct RandomTable {
  enum Nulls: CaseIterable { case none, some, all }
  /// How many values a column draws from: few make dictionaries, many do not.
  enum Variety: CaseIterable { case one, few, many, sorted }

  static let types: [ColumnType] = [
    .bool, .int64, .double, .string, .binary, .timestamp, .decimal(precision: 5, scale: 2),
    .decimal(precision: 9, scale: 0), .decimal(precision: 12, scale: 2), .decimal(precision: 18, scale: 18),
    .decimal(precision: 19, scale: 3), .decimal(precision: 38, scale: 10), .decimal(precision: 38, scale: 0),
  ]

  var schema: [ColumnSchema]
  var values: [[Literal]]
  var rows: Int { values[0].count }

  init(rows: Int, nulls: Nulls, variety: Variety, random: inout SplitMix64) {
    schema = RandomTable.types.enumerated().map { ColumnSchema("c\($0)", $1) }
    schema += [ColumnSchema("must int", .int64, nullable: false), ColumnSchema("müss", .string, nullable: false)]
    values = []
    for column in schema {
      let pool = RandomTable.pool(column.type, variety, rows: rows, random: &random)
      var cells: [Literal] = []
      for row in 0..<rows {
        let isNull = column.nullable && (nulls == .all || nulls == .some && random.below(4) == 0)
        cells.append(isNull ? .null : variety == .sorted ? pool[row % pool.count] : pool[random.below(pool.count)])
      }
      values.append(cells)
    }
  }

  var columns: [Column] { columns(0..<rows) }

  func columns(_ range: Range<Int>) -> [Column] {
    zip(schema, values).map { schema, cells in
      var builder = ColumnBuilder(schema.type)
      for cell in cells[range] { builder.append(cell) }
      return builder.finish()
    }
  }

  private static func pool(_ type: ColumnType, _ variety: Variety, rows: Int, random: inout SplitMix64) -> [Literal] {
    let size =
      switch variety {
      case .one: 1
      case .few: 1 + random.below(40)
      case .many, .sorted: max(1, rows)
      }
    var step = Int64(random.below(1 << 40))
    return (0..<size).map { _ in
      step += Int64(random.below(1000))
      return variety == .sorted ? following(type, step, &random) : value(type, &random)
    }
  }

  /// Values close to the one before, for the delta encoding.
  private static func following(_ type: ColumnType, _ step: Int64, _ random: inout SplitMix64) -> Literal {
    switch type {
    case .int64: .int64(step)
    case .timestamp: .timestamp(1_700_000_000_000_000 + step)
    case .decimal(let precision, let scale) where precision >= 18:
      .decimal(Int128(step), precision: precision, scale: scale)
    default: value(type, &random)
    }
  }

  static func value(_ type: ColumnType, _ random: inout SplitMix64) -> Literal {
    let special = random.below(10) == 0
    switch type {
    case .bool: return .bool(random.below(2) == 0)
    case .int64: return .int64(special ? [.min, .max, 0, -1, 1][random.below(5)] : Int64(bitPattern: random.next()))
    case .timestamp: return .timestamp(special ? [-1, 0, 1][random.below(3)] : time(&random))
    case .double: return .double(special ? doubles[random.below(doubles.count)] : Double(random.below(1 << 30)) / 64)
    case .string: return .string(special ? texts[random.below(texts.count)] : text(&random))
    case .binary: return .binary(binary(&random))
    case .decimal(let precision, let scale):
      return .decimal(decimal(precision, special, &random), precision: precision, scale: scale)
    case .list, .structure, .map: preconditionFailure("a table of scalars")
    }
  }

  private static let doubles: [Double] = [
    .nan, .infinity, -.infinity, 0.0, -0.0, .greatestFiniteMagnitude, .leastNonzeroMagnitude, -1.5,
  ]

  private static let texts: [String] = [
    "", "\u{10FFFF}", "\u{0}", "a", "é", "日本語", "\u{D7FF}\u{E000}", String(repeating: "\u{10FFFF}", count: 30),
    String(repeating: "x", count: 63) + "é", String(repeating: "\u{7F}", count: 70), String(repeating: "~", count: 64),
  ]

  // Between the years 1 and 9999, which is what Python can hold.
  private static func time(_ random: inout SplitMix64) -> Int64 {
    Int64(random.next() % 250_000_000_000_000_000) - 40_000_000_000_000_000
  }

  private static func text(_ random: inout SplitMix64) -> String {
    let scalars = (0..<random.below(20)).map { _ in
      Unicode.Scalar([0x61, 0x7A, 0xE9, 0x4E2D, 0x1F600][random.below(5)] + UInt32(random.below(4))) ?? "?"
    }
    return String(String.UnicodeScalarView(scalars))
  }

  private static func binary(_ random: inout SplitMix64) -> [UInt8] {
    let length = random.below(10) == 0 ? 60 + random.below(10) : random.below(12)
    let isHigh = random.below(8) == 0
    return (0..<length).map { _ in isHigh ? 0xFF : UInt8(truncatingIfNeeded: random.next()) }
  }

  private static func decimal(_ precision: Int, _ special: Bool, _ random: inout SplitMix64) -> Int128 {
    var limit: Int128 = 1
    for _ in 0..<precision { limit *= 10 }
    if special { return [limit - 1, 1 - limit, 0, -1, 1][random.below(5)] }
    let wide = Int128(truncatingIfNeeded: random.next()) << 63 ^ Int128(truncatingIfNeeded: random.next())
    return wide % limit * (random.below(2) == 0 ? 1 : -1)
  }
}
