import WeirCore
import WeirOperators

/// One epoch's contribution of a lane to the aggregates that the merge lane finishes.
final class Partial: @unchecked Sendable {
  // Unchecked: a lane fills it, hands it over at the cut and makes a new one; the merge lane only reads it.
  /// By aggregate number; nil: finished in the lane.
  let windows: [(any WindowOperator)?]
  let keyed: [KeyedStore?]

  init(_ compiled: CompiledPlan) { (windows, keyed) = compiled.stores { !$0.isFinishedInLane } }

  /// Reads what ``save(into:)`` wrote.
  func restore(from reader: inout ByteReader) throws(WeirError) {
    for store in windows { try store?.restore(from: &reader) }
    for store in keyed { try store?.restore(from: &reader) }
  }

  /// Everything in the order of the plan's aggregates: the entry's `partials`.
  func save(into out: inout ByteWriter) {
    for store in windows { store?.save(into: &out) }
    for store in keyed { store?.save(base: true, into: &out) }
  }
}
