/// Finds values within the bytes of a nested value, as ``NestedBuilder`` makes them. What it gives refers to the same bytes.
public struct NestedReader {
  /// Where the next value begins, and the end of all bytes.
  private var at: UnsafePointer<UInt8>
  private let end: UnsafePointer<UInt8>

  /// - Parameter value: what a column of a nested type has in a row: without the first byte of a value.
  public init(_ value: StringRef) { (at, end) = (value.start, value.start + value.count) }

  /// A scalar's bytes in its physical form (strings without their length), or what a nested column has.
  public typealias Found = StringRef

  // MARK: Parts of the value

  /// The element with this number of a list; nil: there is none, or it is null.
  public mutating func element(_ number: Int, of element: ColumnType) -> Found? {
    guard number < Int(length()) else { return nil }
    for _ in 0..<number { skip(element) }
    return value(element)
  }

  /// The member with this number of a struct; nil: it is null.
  public mutating func member(_ number: Int, of members: [StructMember]) -> Found? {
    for member in members[..<number] { skip(member.type) }
    return value(members[number].type)
  }

  /// The value of a key of a map; nil: there is none, or it is null.
  public mutating func entry(_ key: StringRef, of type: ColumnType) -> Found? {
    for _ in 0..<length() {
      if text() == key { return value(type) }
      skip(type)
    }
    return nil
  }

  /// Hands out the elements of a list in their order; nil: null.
  public mutating func forEachElement(of element: ColumnType, _ body: (Found?) -> Void) {
    for _ in 0..<length() { body(value(element)) }
  }

  /// The number of elements of a list, or of entries of a map.
  public static func count(_ value: StringRef) -> Int {
    var reader = NestedReader(value)
    return Int(reader.length())
  }

  // MARK: Bytes

  private mutating func length() -> UInt32 {
    precondition(end - at >= 4, "a nested value has its length")
    defer { at += 4 }
    return UInt32(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt32.self))
  }

  private mutating func text() -> StringRef {
    let count = Int(length())
    defer { at += count }
    return StringRef(start: at, count: count)
  }

  /// Reads a value of the type; nil: it is null.
  private mutating func value(_ type: ColumnType) -> Found? {
    guard at.pointee == 1 else {
      at += 1
      return nil
    }
    at += 1
    switch type {
    case .string, .binary: return text()
    default:
      let start = at
      skipBody(type)
      return StringRef(start: start, count: at - start)
    }
  }

  private mutating func skip(_ type: ColumnType) {
    at += 1
    if at[-1] == 1 { skipBody(type) }
  }

  private mutating func skipBody(_ type: ColumnType) {
    switch type {
    case .bool: at += 1
    case .int64, .timestamp, .double: at += 8
    case .decimal: at += 16
    case .string, .binary: _ = text()
    case .list(let element): for _ in 0..<length() { skip(element) }
    case .structure(let members): for member in members { skip(member.type) }
    case .map(let type):
      for _ in 0..<length() {
        _ = text()
        skip(type)
      }
    }
  }
}

extension ColumnBuilder {
  /// Appends a value that ``NestedReader`` found, whose bytes `owners` of the finished column must hold; nil: null.
  public mutating func append(found: NestedReader.Found?) { reference(found) }
}
