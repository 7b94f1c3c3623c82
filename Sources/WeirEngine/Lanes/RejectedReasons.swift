import WeirCore
import WeirOperators

/// Why records went into quarantine: how many of each kind of reason, with the first record of each kind. For summaries, logs and errors;
/// the quarantine table has every record.
///
/// Reasons that differ only in numbers and quoted values are one kind. The kinds, and the bytes held of each, are bounded.
package struct RejectedReasons: Sendable {
  /// Kinds that are counted separately; records of further ones are counted in ``others``.
  package static let kindsMax = 16
  /// Kinds that a summary or an error shows.
  package static let shownMax = 3

  /// Records that were rejected for one reason.
  package struct Kind: Sendable {
    package var stage: String
    package var count: Int64
    /// The first of them, in shard order; of several shards the one first by name.
    package var sample: Sample
    /// Its reasons differ, in numbers or in texts within quotes: that of the sample is the first's.
    package var differs = false
    fileprivate var key: UInt64
    fileprivate var hash: UInt64
  }

  /// One rejected record.
  package struct Sample: Sendable {
    /// Bytes of the record that are shown.
    static let recordBytesMax = 160
    /// Bytes of the reason that are shown.
    static let reasonBytesMax = 300

    package var shard: String
    package var position: ShardPoint
    /// Control characters are escaped, as in ``record``.
    package var reason: String
    /// The beginning of the record's value.
    package var record: String
    /// What probably causes it and what to do, where that is evident.
    package var hint: String?
    /// Of its headers, if they have one.
    package var trace: TraceContext?

    /// In the order of shards and positions.
    func isBefore(_ other: Sample) -> Bool { (shard, position.ordinal) < (other.shard, other.position.ordinal) }
  }

  package private(set) var byStage: [String: Int64] = [:]
  /// In the order of their first appearance.
  package private(set) var kinds: [Kind] = []
  /// Records of kinds beyond ``kindsMax``.
  package private(set) var others: Int64 = 0
  /// The first of them, as of a kind.
  package private(set) var other: (stage: String, sample: Sample)?

  package init() {}

  package var count: Int64 { byStage.values.reduce(0, +) }
  package var isEmpty: Bool { byStage.isEmpty }

  /// The kinds with the most records; of equal ones the one that came first.
  package var top: [Kind] {
    kinds.enumerated().sorted { ($1.element.count, $0.offset) < ($0.element.count, $1.offset) }.map(\.element)
  }

  /// - Parameters:
  ///   - shard: of the lane, where the source reports none.
  ///   - hint: asked once for each kind.
  mutating func add(_ block: PreparedBlock, _ row: Int, shard: String, _ rejection: Rejection, reason: String, hint: () -> String?) {
    let stage = rejection.stage.rawValue
    byStage[stage, default: 0] += 1
    let key = RejectedReasons.key(stage, reason)
    if let at = kinds.firstIndex(where: { $0.key == key }) {
      kinds[at].count += 1
      if !kinds[at].differs { kinds[at].differs = kinds[at].hash != RejectedReasons.hash(reason) }
      return
    }
    let isOther = kinds.count >= RejectedReasons.kindsMax
    if isOther { others += 1 }
    // Of the others, the first one is shown.
    if isOther, other != nil { return }
    let details = block.decoded.details
    let sample = Sample(
      shard: details?.shard ?? shard, position: block.point(row), reason: Printable.text(reason, bytesMax: Sample.reasonBytesMax),
      record: Printable.text(block.value(row).bytes, bytesMax: Sample.recordBytesMax), hint: isOther ? nil : hint(),
      trace: details?.headers(row).flatMap(TraceContext.init(headers:)))
    if isOther {
      other = (stage, sample)
      return
    }
    kinds.append(Kind(stage: stage, count: 1, sample: sample, key: key, hash: RejectedReasons.hash(reason)))
  }

  package mutating func add(_ other: RejectedReasons) {
    for (stage, count) in other.byStage { byStage[stage, default: 0] += count }
    others += other.others
    if let its = other.other { takeOther(its.stage, its.sample) }
    for kind in other.kinds {
      if let at = kinds.firstIndex(where: { $0.key == kind.key }) {
        kinds[at].count += kind.count
        kinds[at].differs = kinds[at].differs || kind.differs || kinds[at].hash != kind.hash
        let (mine, its) = (kinds[at].sample, kind.sample)
        if its.isBefore(mine) { (kinds[at].sample, kinds[at].hash) = (its, kind.hash) }
      } else if kinds.count < RejectedReasons.kindsMax {
        kinds.append(kind)
      } else {
        others += kind.count
        takeOther(kind.stage, kind.sample)
      }
    }
  }

  private mutating func takeOther(_ stage: String, _ sample: Sample) {
    guard let mine = other, !sample.isBefore(mine.sample) else {
      other = (stage, sample)
      return
    }
  }

  /// Records that ``text(indent:)`` shows no kind of: how many, and the first of them.
  var rest: (count: Int64, first: (stage: String, sample: Sample))? {
    let more = top.dropFirst(RejectedReasons.shownMax)
    let samples = more.map { (stage: $0.stage, sample: $0.sample) } + (other.map { [$0] } ?? [])
    guard let first = samples.min(by: { $0.sample.isBefore($1.sample) }) else { return nil }
    return (more.reduce(others) { $0 + $1.count }, first)
  }

  /// FNV-1a.
  private static func hash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  /// FNV-1a over stage and reason, leaving out numbers and what is between quotes.
  private static func key(_ stage: String, _ reason: String) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func mix(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    for byte in stage.utf8 { mix(byte) }
    mix(0)
    var quote: UInt8 = 0
    var isInName = false
    for byte in reason.utf8 {
      if quote != 0 {
        if byte == quote { quote = 0 }
        continue
      }
      if byte == 0x27 || byte == 0x22 { quote = byte }
      if byte &- 0x30 < 10 {
        // A digit within a name belongs to it.
        if isInName { mix(byte) }
        continue
      }
      isInName = isName(byte)
      // Signs and points are of numbers.
      if byte != 0x2D, byte != 0x2E { mix(byte) }
    }
    return hash
  }

  private static func isName(_ byte: UInt8) -> Bool { byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A || byte == 0x5F || byte >= 0x80 }
}
