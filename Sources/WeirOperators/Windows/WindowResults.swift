import WeirCore

/// Finished windows, one a group and window, in the order in which they were written out. Kept by column: a stream has as many
/// of them as it has keys in each window, and none is worth an allocation.
package struct WindowResults: Sendable {
  /// One after another.
  private var keys: [UInt8] = []
  private var keyEnds: [Int] = []
  package private(set) var starts: [Int64] = []
  package private(set) var ends: [Int64] = []
  private var measures: [Literal] = []
  private let measuresEach: Int
  /// Of texts among the measures.
  private var textBytes = 0
  /// Measures that are null because no double can hold them; those of the backlog are counted.
  package internal(set) var outOfRange: Int64 = 0
  /// More of them, which come after these; nil: these are all.
  package internal(set) var backlog: WindowBacklog?

  /// None yet.
  /// - Parameter measures: how many each window has.
  package init(measures: Int) { measuresEach = measures }

  package var count: Int { ends.count }
  package var isEmpty: Bool { ends.isEmpty }

  /// Rows that are in memory at once.
  static let rowsMax = 1 << 15
  /// Bytes of their keys and texts, but for those of the last row. A key may be as long as a record, and each of its windows has it.
  static let bytesMax = 4 << 20
  var isFull: Bool { count >= WindowResults.rowsMax || keys.count + textBytes >= WindowResults.bytesMax }

  /// Encoded `by` values (``StateKey``).
  package func key(_ i: Int) -> ArraySlice<UInt8> { keys[(i == 0 ? 0 : keyEnds[i - 1])..<keyEnds[i]] }

  /// In the order of the table's measures.
  package func measures(_ i: Int) -> ArraySlice<Literal> { measures[i * measuresEach..<(i + 1) * measuresEach] }

  mutating func append(key: ArraySlice<UInt8>, start: Int64, end: Int64, measures write: (inout [Literal]) -> Void) {
    keys.append(contentsOf: key)
    keyEnds.append(keys.count)
    starts.append(start)
    ends.append(end)
    write(&measures)
    for measure in measures.suffix(measuresEach) {
      switch measure {
      case .string(let text): textBytes += text.utf8.count
      case .binary(let bytes): textBytes += bytes.count
      default: break
      }
    }
    assert(measures.count == ends.count * measuresEach, "a window has each measure once")
  }

  /// Appends another lane's windows of the same table, without its backlog.
  package mutating func append(_ other: WindowResults) {
    assert(backlog == nil, "rows would be added before the backlog")
    for end in other.keyEnds { keyEnds.append(keys.count + end) }
    keys += other.keys
    starts += other.starts
    ends += other.ends
    measures += other.measures
    textBytes += other.textBytes
    outOfRange += other.outOfRange
  }
}
