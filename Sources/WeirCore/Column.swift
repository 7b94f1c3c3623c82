/// A view of bytes with another owner: the text of a block, an ``Arena``, a literal.
///
/// The owner is kept alive by ``Column/owners``; a `StringRef` must not outlive the column that it came from.
public struct StringRef: @unchecked Sendable, BitwiseCopyable {
  // Unchecked: the bytes are written once before the reference is made and never after.
  public var start: UnsafePointer<UInt8>
  public var count: Int

  @inlinable public init(start: UnsafePointer<UInt8>, count: Int) {
    self.start = start
    self.count = count
  }

  // Never written: a valid address for empty strings.
  @usableFromInline nonisolated(unsafe) static let emptyByte: UnsafeMutablePointer<UInt8> = .allocate(capacity: 1)
  /// No bytes (the pointer is valid all the same).
  @inlinable public static var empty: StringRef { StringRef(start: UnsafePointer(emptyByte), count: 0) }

  @inlinable public var bytes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: start, count: count) }

  /// A copy as a Swift string; ill-formed UTF-8 is repaired, so use it for messages and not for data.
  public var description: String { String(decoding: bytes, as: UTF8.self) }

  @inlinable public static func == (a: StringRef, b: StringRef) -> Bool {
    a.count == b.count && (a.count == 0 || memoryEqual(a.start, b.start, a.count))
  }

  /// Order by unsigned bytes, which is the order of code points in UTF-8.
  @inlinable public static func < (a: StringRef, b: StringRef) -> Bool {
    let n = min(a.count, b.count)
    var i = 0
    while i < n {
      if a.start[i] != b.start[i] { return a.start[i] < b.start[i] }
      i += 1
    }
    return a.count < b.count
  }
}

extension StringRef: Equatable {}

@inlinable @inline(__always)
public func memoryEqual(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  var i = 0
  if count >= 8 {
    // The last eight bytes first, whatever overlaps: no byte is left for the loop of single bytes.
    let x = UnsafeRawPointer(a + (count &- 8)).loadUnaligned(as: UInt64.self)
    let y = UnsafeRawPointer(b + (count &- 8)).loadUnaligned(as: UInt64.self)
    if x != y { return false }
    while i &+ 8 < count {
      let x = UnsafeRawPointer(a + i).loadUnaligned(as: UInt64.self)
      let y = UnsafeRawPointer(b + i).loadUnaligned(as: UInt64.self)
      if x != y { return false }
      i &+= 8
    }
    return true
  }
  while i < count {
    if a[i] != b[i] { return false }
    i &+= 1
  }
  return true
}

/// Bytes that live as long as there is a reference to the arena: unescaped strings, literals, computed strings.
///
/// Filled by one thread; handed on only when no more is appended. Grows by chunks, so references stay valid.
public final class Arena: @unchecked Sendable {
  // Unchecked: one owner appends; after it is shared it is only read.
  private var chunks: [UnsafeMutablePointer<UInt8>] = []
  private var free = 0
  private var next: UnsafeMutablePointer<UInt8>?
  private let chunkBytes: Int

  public init(chunkBytes: Int = 16 << 10) { self.chunkBytes = chunkBytes }

  deinit { for chunk in chunks { chunk.deallocate() } }

  /// Space for `count` bytes, not initialised.
  public func allocate(_ count: Int) -> UnsafeMutablePointer<UInt8> {
    if count > free || next == nil {
      let size = max(count, chunkBytes)
      let chunk = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
      chunks.append(chunk)
      next = chunk
      free = size
    }
    let place = next!
    next = place + count
    free -= count
    return place
  }

  /// A copy of `bytes` in the arena.
  public func copy(_ bytes: UnsafeBufferPointer<UInt8>) -> StringRef {
    guard let from = bytes.baseAddress, bytes.count > 0 else { return .empty }
    let to = allocate(bytes.count)
    to.update(from: from, count: bytes.count)
    return StringRef(start: UnsafePointer(to), count: bytes.count)
  }

  public func copy(_ string: String) -> StringRef {
    var string = string
    return string.withUTF8 { copy($0) }
  }
}

/// A column of values: one block's worth of one field, or of the result of one expression.
///
/// `count` values; where `validity` says false the value is null and the stored one means nothing (it is zero or empty).
public struct Column: Sendable {
  public enum Values: Sendable {
    case bool([Bool])
    /// `int64` and `timestamp`.
    case int64([Int64])
    case double([Double])
    case decimal([Int128])
    /// `string`, `binary`, and nested types.
    case string([StringRef])

    /// No values.
    public static func none(of type: ColumnType) -> Values {
      switch type {
      case .bool: .bool([])
      case .int64, .timestamp: .int64([])
      case .double: .double([])
      case .decimal: .decimal([])
      case .string, .binary, .list, .structure, .map: .string([])
      }
    }
  }

  public var type: ColumnType
  public var values: Values
  /// One entry a row; nil when no row is null.
  public var validity: [Bool]?
  /// What the ``StringRef``s point into.
  public var owners: [any AnyObject & Sendable]

  public init(type: ColumnType, values: Values, validity: [Bool]? = nil, owners: [any AnyObject & Sendable] = []) {
    self.type = type
    self.values = values
    self.validity = validity
    self.owners = owners
  }

  public var count: Int {
    switch values {
    case .bool(let v): v.count
    case .int64(let v): v.count
    case .double(let v): v.count
    case .decimal(let v): v.count
    case .string(let v): v.count
    }
  }

  @inlinable public func isValid(_ row: Int) -> Bool { validity.map { $0[row] } ?? true }

  /// The value of one row as a ``Literal``, one of a nested type as its bytes: for messages, tests and rows of little traffic, not for the hot path.
  public func literal(_ row: Int) -> Literal {
    guard isValid(row) else { return .null }
    switch values {
    case .bool(let v): return .bool(v[row])
    case .int64(let v): return type == .timestamp ? .timestamp(v[row]) : .int64(v[row])
    case .double(let v): return .double(v[row])
    case .decimal(let v):
      if case .decimal(let precision, let scale) = type { return .decimal(v[row], precision: precision, scale: scale) }
      return .decimal(v[row], precision: 38, scale: 0)
    case .string(let v): return type != .string ? .binary(Array(v[row].bytes)) : .string(v[row].description)
    }
  }
}

/// One value with its type.
public enum Literal: Hashable, Sendable, Codable {
  case null
  case bool(Bool)
  case int64(Int64)
  case double(Double)
  case decimal(Int128, precision: Int, scale: Int)
  case string(String)
  case binary([UInt8])
  /// UTC microseconds since 1970.
  case timestamp(Int64)
}

/// Collects the values of one column one by one: for rows of little traffic (window results, late and quarantined rows).
public struct ColumnBuilder {
  public let type: ColumnType
  private var bools: [Bool] = []
  private var ints: [Int64] = []
  private var doubles: [Double] = []
  private var decimals: [Int128] = []
  private var strings: [StringRef] = []
  private var validity: [Bool] = []
  private var anyNull = false
  private let arena = Arena()

  public init(_ type: ColumnType) { self.type = type }

  public var count: Int { validity.count }

  /// Appends a value of the builder's type, or null.
  public mutating func append(_ value: Literal) {
    validity.append(value != .null)
    if value == .null { anyNull = true }
    switch type {
    case .bool: if case .bool(let v) = value { bools.append(v) } else { bools.append(false) }
    case .int64, .timestamp:
      switch value {
      case .int64(let v), .timestamp(let v): ints.append(v)
      default: ints.append(0)
      }
    case .double: if case .double(let v) = value { doubles.append(v) } else { doubles.append(0) }
    case .decimal: if case .decimal(let v, _, _) = value { decimals.append(v) } else { decimals.append(0) }
    case .string, .binary, .list, .structure, .map:
      switch value {
      case .string(let v): strings.append(arena.copy(v))
      case .binary(let v): strings.append(v.withUnsafeBufferPointer { arena.copy($0) })
      default: strings.append(.empty)
      }
    }
  }

  /// Appends a copy of bytes to a `string` or `binary` column.
  public mutating func append(bytes: UnsafeBufferPointer<UInt8>) {
    precondition(type == .string || type == .binary, "bytes go into a string or binary column")
    validity.append(true)
    strings.append(arena.copy(bytes))
  }

  /// Appends a value in its physical form without a copy of its bytes, see ``append(found:)``.
  mutating func reference(_ value: StringRef?) {
    validity.append(value != nil)
    if value == nil { anyNull = true }
    func load<T: BitwiseCopyable>(_ none: T) -> T { value.map { UnsafeRawPointer($0.start).loadUnaligned(as: T.self) } ?? none }
    switch type {
    case .bool: bools.append(value.map { $0.start.pointee == 1 } ?? false)
    case .int64, .timestamp: ints.append(Int64(littleEndian: load(0)))
    case .double: doubles.append(Double(bitPattern: UInt64(littleEndian: load(0))))
    case .decimal: decimals.append(Int128(littleEndian: load(0)))
    case .string, .binary, .list, .structure, .map: strings.append(value ?? .empty)
    }
  }

  /// The column; the builder must not be used after.
  public func finish() -> Column {
    let values: Column.Values =
      switch type {
      case .bool: .bool(bools)
      case .int64, .timestamp: .int64(ints)
      case .double: .double(doubles)
      case .decimal: .decimal(decimals)
      case .string, .binary, .list, .structure, .map: .string(strings)
      }
    return Column(type: type, values: values, validity: anyNull ? validity : nil, owners: [arena])
  }
}

extension Column {
  /// The column's values at `rows`, in their order.
  public func gather(_ rows: [UInt32]) -> Column {
    func take<T: BitwiseCopyable>(_ values: [T]) -> [T] { values.gathered(rows) }
    let taken: Values =
      switch values {
      case .bool(let v): .bool(take(v))
      case .int64(let v): .int64(take(v))
      case .double(let v): .double(take(v))
      case .decimal(let v): .decimal(take(v))
      case .string(let v): .string(take(v))
      }
    return Column(type: type, values: taken, validity: validity.map { take($0) }, owners: owners)
  }
}

extension Array where Element: BitwiseCopyable {
  /// The elements at `rows`, in their order.
  public func gathered(_ rows: [UInt32]) -> [Element] {
    [Element](unsafeUninitializedCapacity: rows.count) { out, count in
      withUnsafeBufferPointer { values in
        rows.withUnsafeBufferPointer { rows in for i in rows.indices { out[i] = values[Int(rows[i])] } }
      }
      count = rows.count
    }
  }
}
