/// The constants of an `in` list, of one type; sorted where there are many, so that a record costs the logarithm of their number.
public struct LiteralList: Sendable, Hashable, Codable {
  /// As written, nulls included.
  public let values: [Literal]
  public let hasNull: Bool
  public let index: Index

  /// Values ascending, without nulls.
  public enum Index: Sendable {
    /// They are compared one by one.
    case few
    case ints([Int64])
    case doubles([Double])
    case decimals([Int128])
    /// The bytes of value `i` end at `ends[i]`.
    case strings(bytes: [UInt8], ends: [Int])
  }

  private static let fewMax = 8

  public init(_ values: [Literal]) {
    self.values = values
    hasNull = values.contains(.null)
    index = values.count > LiteralList.fewMax ? LiteralList.sorted(values) : .few
  }

  public init(from decoder: any Decoder) throws { self.init(try decoder.singleValueContainer().decode([Literal].self)) }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(values)
  }

  public static func == (a: LiteralList, b: LiteralList) -> Bool { a.values == b.values }

  public func hash(into hasher: inout Hasher) { hasher.combine(values) }

  private static func sorted(_ values: [Literal]) -> Index {
    var ints: [Int64] = []
    var doubles: [Double] = []
    var decimals: [Int128] = []
    var strings: [[UInt8]] = []
    for value in values {
      switch value {
      case .null: break
      // There are two of them at most.
      case .bool: return .few
      case .int64(let v), .timestamp(let v): ints.append(v)
      case .double(let v): doubles.append(v)
      case .decimal(let v, _, _): decimals.append(v)
      case .string(let v): strings.append(Array(v.utf8))
      case .binary(let v): strings.append(v)
      }
    }
    if !ints.isEmpty { return .ints(ints.sorted()) }
    if !doubles.isEmpty { return .doubles(doubles.sorted()) }
    if !decimals.isEmpty { return .decimals(decimals.sorted()) }
    guard !strings.isEmpty else { return .few }
    strings.sort { $0.lexicographicallyPrecedes($1) }
    var ends: [Int] = []
    for string in strings { ends.append((ends.last ?? 0) + string.count) }
    return .strings(bytes: strings.flatMap { $0 }, ends: ends)
  }
}
