import WeirCore

/// A value of any type as a tree, for tests: read from the bytes of a nested column.
public indirect enum NestedTree: Hashable, Sendable {
  case null
  case scalar(Literal)
  case list([NestedTree])
  case structure([NestedTree])
  case map([NestedEntry])

  /// The value of a row of a nested column.
  public init(_ column: Column, row: Int) {
    guard column.isValid(row), case .string(let values) = column.values else {
      self = .null
      return
    }
    var reader = Reader(bytes: Array(values[row].bytes))
    self = reader.payload(column.type)
    precondition(reader.at == reader.bytes.count, "bytes are left")
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func number<T: FixedWidthInteger>(_ type: T.Type) -> T {
      defer { at += MemoryLayout<T>.size }
      return bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: T.self)) }
    }

    mutating func text() -> String {
      let count = Int(number(UInt32.self))
      defer { at += count }
      return String(decoding: bytes[at..<at + count], as: UTF8.self)
    }

    mutating func value(_ type: ColumnType) -> NestedTree { number(UInt8.self) == 0 ? .null : payload(type) }

    mutating func payload(_ type: ColumnType) -> NestedTree {
      switch type {
      case .bool: .scalar(.bool(number(UInt8.self) == 1))
      case .int64: .scalar(.int64(number(Int64.self)))
      case .timestamp: .scalar(.timestamp(number(Int64.self)))
      case .double: .scalar(.double(Double(bitPattern: number(UInt64.self))))
      case .decimal(let precision, let scale): .scalar(.decimal(number(Int128.self), precision: precision, scale: scale))
      case .string, .binary: .scalar(.string(text()))
      case .list(let element): .list((0..<number(UInt32.self)).map { _ in value(element) })
      case .structure(let members): .structure(members.map { value($0.type) })
      case .map(let type): .map((0..<number(UInt32.self)).map { _ in NestedEntry(key: text(), value: value(type)) })
      }
    }
  }
}

/// An entry of a map.
public struct NestedEntry: Hashable, Sendable {
  public var key: String
  public var value: NestedTree

  public init(key: String, value: NestedTree) { (self.key, self.value) = (key, value) }
}
