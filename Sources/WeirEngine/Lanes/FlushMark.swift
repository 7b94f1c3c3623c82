import WeirCore

/// What the state table has of a lane: all rows up to a position. It is written in one transaction with the rows, so it is true
/// after any stop.
struct FlushMark: Sendable, Equatable {
  var lane: LaneID
  var generation: Int64
  var position: Int64

  static func name(_ lane: LaneID) -> String { "flushed/\(lane.text)" }

  var entry: (String, [UInt8]) { (FlushMark.name(lane), Array("\(generation) \(position)".utf8)) }
}
