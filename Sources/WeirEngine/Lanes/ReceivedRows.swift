import WeirCore
import WeirOperators

/// What bronze needs of a block: an epoch's worth of blocks is held until it is encoded, so nothing else stays.
struct ReceivedRows: Sendable {
  private let raw: RawBlock
  private let offset: [UInt32]
  private let length: [UInt32]
  let key: Column
  let arrival: [Int64]
  let arrivalSource: [UInt8]

  init(_ block: PreparedBlock) {
    raw = block.decoded.raw
    offset = block.decoded.offset
    length = block.decoded.length
    key = block.key
    arrival = block.arrival
    arrivalSource = block.arrivalSource
  }

  var count: Int { offset.count }
  /// Owns the records' bytes.
  var text: any AnyObject & Sendable { raw.text }
  var details: RecordDetails? { raw.details }
  /// Keys as a live source gave them; nil: the source knows none but the record's own.
  func receivedKeys(_ rows: [UInt32]) -> Column? { raw.details?.keys(rows, in: raw.text) }
  func position(_ row: Int) -> Int64 { raw.details?.positions[row] ?? raw.position + Int64(offset[row]) }

  /// Which rows have a value: a tombstone has none, which is not an empty one. nil: all.
  func hasValue(_ rows: [UInt32]) -> [Bool]? {
    guard let details = raw.details, details.hasTombstones else { return nil }
    return rows.map { !details.isTombstone(Int($0)) }
  }

  /// The record's bytes as received, without the line end.
  func value(_ row: Int) -> StringRef {
    StringRef(start: UnsafePointer(raw.text.base) + Int(offset[row]), count: Int(length[row]))
  }
}
