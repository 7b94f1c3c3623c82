import WeirCore

/// One kind of event-time windows: what a plan's `window` section means. Pure.
///
/// A new kind is a new file with its kind and its operator, and a line in ``WindowKinds``.
package protocol WindowKind: Sendable {
  /// The times whose windows all begin and end within `range`, which is longer than a window.
  func times(within range: ClosedRange<Int64>) -> ClosedRange<Int64>
  /// A record at `time` misses at least one of its windows: it is written to the late table.
  func isLate(_ time: Int64, watermark: Int64) -> Bool
  /// Start and end of a window that a late record missed.
  /// - Parameter number: from 0 to ``LateRow/missed`` - 1.
  func missedWindow(_ number: Int64, from start: Int64) -> (start: Int64, end: Int64)
  /// Empty, for one gold table.
  /// - Parameter bound: of the partitions that the windows of one cut go to; nil: there may be any number.
  func makeOperator(_ layout: AggregateLayout, _ bound: PartitionBound?) -> any WindowOperator
}

package enum WindowKinds {
  /// The kind that a plan's windows are of.
  package static func kind(of spec: WindowSpec) -> any WindowKind { WindowMath(spec) }
}

/// Open windows of one gold table: of a lane (finished there), of one epoch of a lane (its partial), or of the merge lane.
///
/// Calls are dynamic once for a block, an epoch or a blob; the loops inside are concrete.
package protocol WindowOperator: AnyObject {
  var kind: any WindowKind { get }
  var isEmpty: Bool { get }
  /// Windows (of all keys together) that hold something and are not written out.
  var openCount: Int { get }
  /// The watermark that finishes the first of the open windows; nil: none is open. A window may be taken for open that holds nothing.
  var dueAt: Int64? { get }
  /// Bytes held, about.
  var byteCount: Int { get }
  /// The watermark by which windows were written out.
  var finishedThrough: Int64 { get }

  /// Folds rows in.
  /// - Parameters:
  ///   - owners: by row, the number of the counts that it belongs to; empty: there is but one.
  ///   - key: encodes a group's `by` values; called for new groups only.
  ///   - late: what came after a window of its own was final is added here.
  func update(
    rows: UnsafeBufferPointer<UInt32>, owners: [UInt16], times: [Int64], watermarks: [Int64], hashes: [Hash128], arguments: [Column?],
    key: (Int) -> [UInt8], counts: inout [WindowCounts], late: inout [LateRow], scratch: Scratch
  )
  /// Folds another operator of the same table in: a lane's partial into the merge lane.
  func merge(_ other: any WindowOperator)
  /// Takes over the open windows of another lane, of groups whose key is wanted.
  /// - Parameter reached: the watermark by which the other has written out windows: those are not written again, although this one may have
  ///   written out fewer.
  func inherit(_ other: any WindowOperator, reached: Int64, where keeps: (ArraySlice<UInt8>) -> Bool)
  /// Final windows were left by the last cut, since they belong to more partitions than one cut may write to (``PartitionBound``). Each
  /// further cut takes out some of them, also one at the same watermark.
  var isBehind: Bool { get set }
  /// Takes out every window that is final at this watermark, in an order that depends on the rows alone. Those that are too many to be in
  /// memory at once are the results' ``WindowResults/backlog``. Those of too many partitions stay (``isBehind``).
  /// - Parameter isWhole: all of them, whatever the bound: no cut follows.
  func finish(watermark: Int64, isWhole: Bool) -> WindowResults
  /// Writes everything: as lane state (all open windows) or as an epoch's partial.
  func save(into out: inout ByteWriter)
  /// Replaces the contents by what ``save(into:)`` wrote.
  func restore(from reader: inout ByteReader) throws(WeirError)
}

extension WindowOperator {
  package func finish(watermark: Int64) -> WindowResults { finish(watermark: watermark, isWhole: false) }
}
