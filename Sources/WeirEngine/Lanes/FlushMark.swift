import WeirCore

/// What the state table has of a lane: all rows up to an ordinal. It is written in one transaction with the last of the rows, and where
/// they take several, the first of these writes that a flush has begun: so it is true after any stop.
struct FlushMark: Sendable, Equatable {
  var lane: LaneID
  var generation: Int64
  var position: Int64

  static func name(_ lane: LaneID) -> String { "flushed/\(lane.text)" }

  var entry: (String, [UInt8]) { (FlushMark.name(lane), Array("\(generation) \(position)".utf8)) }

  /// A flush to this place has begun.
  var intent: (String, [UInt8]) { (FlushMark.name(lane), Array("\(FlushMark.begun) \(generation)/\(position)".utf8)) }
  static let begun = "flushing"
}
