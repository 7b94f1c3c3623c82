import WeirCore

/// A value of Thrift's compact protocol, read without knowing its struct: fields that no caller asks for cost nothing to skip.
///
/// Source: `doc/specs/thrift-compact-protocol.md` of Apache Thrift.
indirect enum ThriftValue {
  case bool(Bool)
  /// All integers.
  case int(Int64)
  case double
  case binary(ArraySlice<UInt8>)
  case list([ThriftValue])
  /// Parquet has none; read over.
  case map
  case record([(field: Int, value: ThriftValue)])

  subscript(_ field: Int) -> ThriftValue? {
    guard case .record(let fields) = self else { return nil }
    return fields.first { $0.field == field }?.value
  }

  var bool: Bool? { if case .bool(let b) = self { b } else { nil } }
  var int: Int? { if case .int(let i) = self { Int(i) } else { nil } }
  var list: [ThriftValue]? { if case .list(let l) = self { l } else { nil } }
  var string: String? { if case .binary(let b) = self { String(validating: b, as: UTF8.self) } else { nil } }
}

extension ByteCursor {
  /// Structs and lists in each other at most: Parquet's go 7 deep.
  private static let thriftDepthMax = 24

  /// The struct that begins here.
  mutating func thriftRecord() throws(WeirError) -> ThriftValue { try thriftRecord(depth: 0) }

  private mutating func thriftRecord(depth: Int) throws(WeirError) -> ThriftValue {
    guard depth < ByteCursor.thriftDepthMax else { throw broken("Thrift structs nested too deep") }
    var fields: [(field: Int, value: ThriftValue)] = []
    var field = 0
    while true {
      let header = try byte()
      if header == 0 { return .record(fields) }
      let delta = Int(header >> 4)
      field = delta > 0 ? field + delta : Int(Int16(truncatingIfNeeded: try zigzag()))
      let value: ThriftValue
      switch header & 0x0F {
      // In a struct the type is the value.
      case ThriftWriter.Kind.yes.rawValue: value = .bool(true)
      case ThriftWriter.Kind.no.rawValue: value = .bool(false)
      case let kind: value = try thriftValue(kind, depth: depth + 1)
      }
      fields.append((field, value))
    }
  }

  private mutating func thriftValue(_ kind: UInt8, depth: Int) throws(WeirError) -> ThriftValue {
    switch ThriftWriter.Kind(rawValue: kind) {
    case .yes, .no: return .bool(try byte() == 1)
    case .byte: return .int(Int64(Int8(bitPattern: try byte())))
    case .i16, .i32, .i64: return .int(try zigzag())
    case .double:
      try skip(8)
      return .double
    case .binary: return .binary(try slice(try count(of: "bytes", limit: left)))
    case .list, .set: return try thriftList(depth: depth)
    case .map: return try thriftMap(depth: depth)
    case .record: return try thriftRecord(depth: depth)
    case nil: throw broken("\(kind) is not a Thrift type")
    }
  }

  private mutating func thriftList(depth: Int) throws(WeirError) -> ThriftValue {
    guard depth < ByteCursor.thriftDepthMax else { throw broken("Thrift lists nested too deep") }
    let header = try byte()
    // No element is smaller than a byte, so what is left bounds a list.
    let count = header >> 4 == 15 ? try count(of: "elements", limit: left) : Int(header >> 4)
    var values: [ThriftValue] = []
    for _ in 0..<count { values.append(try thriftValue(header & 0x0F, depth: depth + 1)) }
    return .list(values)
  }

  private mutating func thriftMap(depth: Int) throws(WeirError) -> ThriftValue {
    guard depth < ByteCursor.thriftDepthMax else { throw broken("Thrift maps nested too deep") }
    let count = try count(of: "entries", limit: left)
    guard count > 0 else { return .map }
    let kinds = try byte()
    for _ in 0..<count {
      _ = try thriftValue(kinds >> 4, depth: depth + 1)
      _ = try thriftValue(kinds & 0x0F, depth: depth + 1)
    }
    return .map
  }
}
