import WeirCore
import WeirOperators

/// What bronze needs of a block: an epoch's worth of blocks is held until it is encoded, so nothing else stays.
struct ReceivedRows: Sendable {
  private let raw: RawBlock
  let details: RecordDetails?
  private let offset: [UInt32]
  private let length: [UInt32]
  private let elements: [Int32]?
  let key: Column
  let arrival: [Int64]
  let arrivalSource: [UInt8]

  init(_ block: PreparedBlock) {
    (raw, details) = (block.decoded.raw, block.decoded.details)
    offset = block.decoded.offset
    length = block.decoded.length
    elements = block.decoded.elements
    key = block.key
    arrival = block.arrival
    arrivalSource = block.arrivalSource
  }

  var count: Int { offset.count }
  /// Owns the records' bytes.
  var text: any AnyObject & Sendable { raw.text }
  /// Keys as a live source gave them; nil: the source knows none but the record's own.
  func receivedKeys(_ rows: [UInt32]) -> Column? { details?.keys(rows, in: raw.text) }
  func position(_ row: Int) -> Int64 { details?.positions[row] ?? raw.position + Int64(offset[row]) }

  /// Of each row the number of the element that it is, or null.
  func numbers(_ rows: [UInt32]) -> Column {
    let numbers = elements.map { elements in rows.map { Int64(elements[Int($0)]) } } ?? [Int64](repeating: -1, count: rows.count)
    return Column(type: .int64, values: .int64(numbers), validity: numbers.contains(-1) ? numbers.map { $0 >= 0 } : nil)
  }

  /// Which rows have a value: a tombstone has none, which is not an empty one. nil: all.
  func hasValue(_ rows: [UInt32]) -> [Bool]? {
    guard let details, details.hasTombstones else { return nil }
    return rows.map { !details.isTombstone(Int($0)) }
  }

  /// The record's bytes as received, without the line end.
  func value(_ row: Int) -> StringRef {
    StringRef(start: UnsafePointer(raw.text.base) + Int(offset[row]), count: Int(length[row]))
  }
}
