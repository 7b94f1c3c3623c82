/// How a plain capture's records are partitioned over lanes by key.
public enum Dealing: String, Sendable, Hashable, Codable {
  /// Kafka's Java default: `(murmur2(key) & 0x7fffffff) % lanes`.
  case murmur2
  /// Kinesis: MD5 of the key as a big-endian number, lanes are equal ranges of 2^128.
  case md5
}

/// The one owner of the state of a shard, or of part `index` of `of` of a capture that is partitioned over several lanes.
public struct LaneID: Hashable, Sendable, Comparable {
  public var shard: String
  public var index: Int
  public var of: Int

  public init(shard: String, index: Int = 0, of: Int = 1) {
    self.shard = shard
    self.index = index
    self.of = of
  }

  /// A lane of an input with a name.
  public init(input: String, shard: String, index: Int = 0, of: Int = 1) {
    self.init(shard: "\(input)\(LaneID.inputEnd)\(shard)", index: index, of: of)
  }

  /// Between an input's name and the shard's: neither names of inputs nor those of streams have it.
  private static let inputEnd: Character = ":"

  /// The input whose shard it is; nil: the only one of the ledger, or the first of several.
  public var input: String? { shard.firstIndex(of: LaneID.inputEnd).map { String(shard[..<$0]) } }

  /// The shard as its source names it.
  public var shardInSource: String { shard.firstIndex(of: LaneID.inputEnd).map { String(shard[shard.index(after: $0)...]) } ?? shard }

  /// The lane whose source is the ledger.
  public static let merge = LaneID(shard: "_merge")

  public static func < (a: LaneID, b: LaneID) -> Bool { (a.shard, a.of, a.index) < (b.shard, b.of, b.index) }

  /// `flights/2of4`; for a full-range lane `flights`. A shard's name may itself hold "/".
  public var text: String { of == 1 ? shard : "\(shard)/\(index)of\(of)" }

  public init(text: String) {
    if let slash = text.lastIndex(of: "/") {
      let parts = text[text.index(after: slash)...].split(separator: "o", maxSplits: 1)
      if parts.count == 2, parts[1].first == "f", let index = Int(parts[0]), let of = Int(parts[1].dropFirst()), of > 1,
        of <= Bounds.lanes, (0..<of).contains(index)
      {
        self.init(shard: String(text[..<slash]), index: index, of: of)
        return
      }
    }
    self.init(shard: text)
  }
}

/// What became of records (law 4): `in = accepted + duplicate + filtered + quarantined`.
public struct BucketCounts: Hashable, Sendable, Codable {
  public var accepted: Int64 = 0
  public var duplicate: Int64 = 0
  public var filtered: Int64 = 0
  public var quarantined: Int64 = 0
  /// Lines of a plain capture that are blank, and so no records: in no sum.
  public var blankLines: Int64 = 0
  /// Accepted records with members that no field reads, where the plan keeps them.
  public var rescued: Int64 = 0

  public init() {}

  public var input: Int64 { accepted.saturatingSum(duplicate).saturatingSum(filtered).saturatingSum(quarantined) }

  public static func += (a: inout BucketCounts, b: BucketCounts) {
    a.accepted = a.accepted.saturatingSum(b.accepted)
    a.duplicate = a.duplicate.saturatingSum(b.duplicate)
    a.filtered = a.filtered.saturatingSum(b.filtered)
    a.quarantined = a.quarantined.saturatingSum(b.quarantined)
    a.blankLines = a.blankLines.saturatingSum(b.blankLines)
    a.rescued = a.rescued.saturatingSum(b.rescued)
  }
}

/// What became of a windowed table's contributions (law 4): `matching rows x windows = onTime + corrected + late`.
public struct WindowCounts: Hashable, Sendable, Codable {
  public var onTime: Int64 = 0
  /// Counted after the window's end passed, within the allowed lateness.
  public var corrected: Int64 = 0
  public var late: Int64 = 0
  /// Sums and means of doubles that are no number a double can hold: null in the rows. No contribution, so in no sum above.
  public var outOfRange: Int64 = 0

  public init() {}

  public static func += (a: inout WindowCounts, b: WindowCounts) {
    a.onTime = a.onTime.saturatingSum(b.onTime)
    a.corrected = a.corrected.saturatingSum(b.corrected)
    a.late = a.late.saturatingSum(b.late)
    a.outOfRange = a.outOfRange.saturatingSum(b.outOfRange)
  }
}

/// Watermarks are UTC microseconds; these two ends mean "nothing seen yet" and "all windows are closed".
public enum Watermark {
  public static let minimum = Int64.min
  public static let maximum = Int64.max
}
