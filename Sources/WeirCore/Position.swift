/// Where a record is in its shard, as the source defines it. Opaque and ordered: outside the source's own adapter nothing is computed from it.
public enum Position: Hashable, Sendable, Comparable {
  /// Dense enough to be the lane's ordinal too: a Kafka offset, a byte of a capture, a number of a ledger.
  case offset(Int64)
  /// Of a source whose positions are too long or too sparse for that: its records are counted.
  case sequence(SequenceNumber)

  /// Positions of one shard are of one kind.
  public static func < (a: Position, b: Position) -> Bool {
    switch (a, b) {
    case (.offset(let x), .offset(let y)): x < y
    case (.sequence(let x), .sequence(let y)): x < y
    case (.offset, .sequence): true
    case (.sequence, .offset): false
    }
  }

  /// How many positions are between this one and a later one; nil: the source's positions do not show it.
  public func distance(to later: Position) -> Int64? {
    guard case .offset(let from) = self, case .offset(let to) = later else { return nil }
    return max(0, to &- from)
  }

  /// `1234`, or `sequence:sub`.
  public var text: String {
    switch self {
    case .offset(let offset): String(offset)
    case .sequence(let number): number.text
    }
  }

  /// Reads ``text``.
  public init?(text: String) {
    if let number = SequenceNumber(text: text) {
      self = .sequence(number)
    } else if let offset = Int64(text) {
      self = .offset(offset)
    } else {
      return nil
    }
  }

  /// For documents: a number where it is one.
  public var json: JSONValue {
    switch self {
    case .offset(let offset): .int(offset)
    case .sequence(let number): .string(number.text)
    }
  }
}

extension Position: ExpressibleByIntegerLiteral, CustomStringConvertible {
  public init(integerLiteral value: Int64) { self = .offset(value) }
  public var description: String { text }
}

/// A long number that a source gives its records, and the place among the records that it packed into one.
///
/// An **outer record** is what the source stores under one sequence number; it may hold several records, distinguished by the sub-sequence.
public struct SequenceNumber: Hashable, Sendable, Comparable {
  /// Decimal digits at most, which is what Kinesis allows.
  public static let digitsMax = 129

  /// Decimal, without leading zeros.
  public let digits: String
  /// Place in the outer record. As a place to read on from: the number of its records that are consumed.
  public let sub: UInt64

  /// - Returns: nil if the digits are no number without leading zeros.
  public init?(_ digits: String, sub: UInt64 = 0) {
    guard (1...SequenceNumber.digitsMax).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      digits.utf8.first != 0x30 || digits.utf8.count == 1
    else { return nil }
    (self.digits, self.sub) = (digits, sub)
  }

  public init(_ number: UInt128, sub: UInt64 = 0) { (digits, self.sub) = (String(number), sub) }

  public static func < (a: SequenceNumber, b: SequenceNumber) -> Bool {
    let (m, n) = (a.digits.utf8.count, b.digits.utf8.count)
    if m != n { return m < n }
    return a.digits == b.digits ? a.sub < b.sub : a.digits.utf8.lexicographicallyPrecedes(b.digits.utf8)
  }

  /// `digits:sub`.
  public var text: String { "\(digits):\(sub)" }

  /// Reads ``text``.
  public init?(text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let sub = UInt64(parts[1]), String(sub) == parts[1] else { return nil }
    self.init(String(parts[0]), sub: sub)
  }
}

/// A place in a shard as its lane knows it: the lane's ordinal, and the source's position.
///
/// The **ordinal** grows along the shard; rows are in its order, and fences compare it. Where the source's positions are dense it is the
/// source's own number. Else it counts the records of the shard that the lane has consumed, and goes with the position wherever that is
/// stored: so the next owner of the lane counts on from the same number. What makes the count differ (a gap, another incarnation) starts a
/// new generation of the lane.
///
/// A place is between two outer records: sources hand out blocks that end with one, and cuts and flushes fall between blocks.
public struct ShardPoint: Hashable, Sendable {
  public let ordinal: Int64
  /// nil: the ordinal is the source's position.
  public let sequence: SequenceNumber?

  public init(ordinal: Int64, sequence: SequenceNumber?) { (self.ordinal, self.sequence) = (ordinal, sequence) }

  /// Of a source whose positions are dense.
  public init(_ offset: Int64) { self.init(ordinal: offset, sequence: nil) }

  /// The same as a value that reads like a position.
  public static func offset(_ offset: Int64) -> ShardPoint { ShardPoint(offset) }

  /// Where a lane of a counted source begins.
  public static func start(at sequence: SequenceNumber) -> ShardPoint { ShardPoint(ordinal: 0, sequence: sequence) }

  /// Another position of the same shard, with the ordinal that belongs to it; a counted source continues counting.
  public func moved(to position: Position) -> ShardPoint {
    switch position {
    case .offset(let offset): ShardPoint(offset)
    case .sequence(let number): ShardPoint(ordinal: ordinal, sequence: number)
    }
  }

  /// As the source has it.
  public var position: Position { sequence.map(Position.sequence) ?? Position.offset(ordinal) }

  /// The records after one place and before another, in words.
  public static func span(behind last: ShardPoint, before end: ShardPoint) -> String {
    guard last.sequence == nil, end.sequence == nil else { return "The records after position \(last) and before \(end)" }
    return "Positions \(last.ordinal &+ 1) to \(end.ordinal &- 1)"
  }

  /// The source's number, for the adapter of a source whose positions are dense.
  /// - Throws: `corrupt` if it is another source's.
  public func offset(in shard: String) throws(WeirError) -> Int64 {
    guard sequence == nil else {
      throw WeirError(
        .corrupt, "\(text) is not a position of \(shard), whose positions are whole numbers",
        advice: "The ledger or the capture belongs to another source: use the pipeline that wrote it.")
    }
    return ordinal
  }

  /// `1234`; of a counted source `ordinal@sequence:sub`.
  public var text: String { sequence.map { "\(ordinal)@\($0.text)" } ?? String(ordinal) }

  /// Reads ``text``.
  public init?(text: String) {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count <= 2, let ordinal = Int64(parts[0]) else { return nil }
    guard parts.count == 2 else {
      self.init(ordinal)
      return
    }
    guard let sequence = SequenceNumber(text: String(parts[1])), String(ordinal) == parts[0] else { return nil }
    self.init(ordinal: ordinal, sequence: sequence)
  }
}

extension ShardPoint: ExpressibleByIntegerLiteral, CustomStringConvertible {
  public init(integerLiteral value: Int64) { self.init(value) }
  /// The source's position.
  public var description: String { position.text }
}
