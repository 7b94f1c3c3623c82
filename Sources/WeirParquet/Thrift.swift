/// Writes Thrift's compact protocol: the form of Parquet's footers and page headers.
///
/// Source: `doc/specs/thrift-compact-protocol.md` of Apache Thrift. Fields must come in ascending order of their ids
/// less than 16 apart, which holds for every struct of parquet.thrift.
struct ThriftWriter {
  enum Kind: UInt8 { case yes = 1, no, byte, i16, i32, i64, double, binary, list, set, map, record }

  private(set) var bytes: [UInt8] = []
  private var lastField = 0
  private var outer: [Int] = []

  private mutating func varint(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: value))
  }

  private mutating func zigzag(_ value: Int64) { varint(UInt64(bitPattern: (value << 1) ^ (value >> 63))) }

  private mutating func header(_ field: Int, _ kind: Kind) {
    bytes.append(UInt8(field - lastField) << 4 | kind.rawValue)
    lastField = field
  }

  mutating func bool(_ field: Int, _ value: Bool) { header(field, value ? .yes : .no) }

  mutating func byte(_ field: Int, _ value: Int8) {
    header(field, .byte)
    bytes.append(UInt8(bitPattern: value))
  }

  mutating func i16(_ field: Int, _ value: Int) {
    header(field, .i16)
    zigzag(Int64(value))
  }

  mutating func i32(_ field: Int, _ value: Int) {
    header(field, .i32)
    zigzag(Int64(value))
  }

  mutating func i64(_ field: Int, _ value: Int64) {
    header(field, .i64)
    zigzag(value)
  }

  mutating func binary(_ field: Int, _ value: [UInt8]) {
    header(field, .binary)
    element(value)
  }

  mutating func string(_ field: Int, _ value: String) { binary(field, Array(value.utf8)) }

  /// Begins a struct that is a field; ``end()`` ends it.
  mutating func begin(_ field: Int) {
    header(field, .record)
    beginElement()
  }

  /// Begins a struct that is an element of a list.
  mutating func beginElement() {
    outer.append(lastField)
    lastField = 0
  }

  mutating func end() {
    bytes.append(0)
    lastField = outer.popLast() ?? 0
  }

  /// A list; its `count` elements follow.
  mutating func list(_ field: Int, _ kind: Kind, count: Int) {
    header(field, .list)
    if count < 15 {
      bytes.append(UInt8(count) << 4 | kind.rawValue)
    } else {
      bytes.append(0xF0 | kind.rawValue)
      varint(UInt64(count))
    }
  }

  mutating func element(_ value: Int) { zigzag(Int64(value)) }

  mutating func element(_ value: [UInt8]) {
    varint(UInt64(value.count))
    bytes.append(contentsOf: value)
  }
}
