import WeirCore

/// Copies records of a shard into one block; aggregates are taken apart.
struct KinesisBlockBuilder {
  /// A block is closed before the outer record that would make it larger; one record alone may be larger.
  private let bytesMax: Int
  private let shard: String
  private let range: HashRange
  private var text: [UInt8] = []
  private var valueOffset: [UInt32] = []
  private var valueLength: [UInt32] = []
  private var keyOffset: [UInt32] = []
  private var keyLength: [Int32] = []
  private var ordinals: [Int64] = []
  private var sequences: [SequenceNumber] = []
  private var arrivals: [Int64] = []
  /// After the last record.
  private(set) var next: ShardPoint
  /// Of the next record.
  private var ordinal: Int64
  /// Aggregates with a record that does not belong to the shard: each was taken as one plain record.
  private(set) var misplacedAggregates = 0

  /// - Parameters:
  ///   - next: where the block begins.
  ///   - range: of the shard.
  init(_ shard: String, from next: ShardPoint, range: HashRange, bytesMax: Int) {
    (self.shard, self.next, self.range, self.bytesMax) = (shard, next, range, bytesMax)
    ordinal = next.ordinal
  }

  var isEmpty: Bool { ordinals.isEmpty }
  var count: Int { ordinals.count }

  /// Adds what of an outer record comes after the block's position, or says that it belongs into the next block.
  mutating func add(_ outer: OuterRecord) -> Bool {
    // A shard gives its records in order, and each once; were it otherwise, a record must not be consumed twice.
    if let known = next.sequence, let last = SequenceNumber(known.digits), outer.sequence < last { return true }
    guard isEmpty || text.count + outer.data.count + outer.key.utf8.count <= bytesMax else { return false }
    let consumed = next.sequence.flatMap { $0.digits == outer.sequence.digits ? $0.sub : nil } ?? 0
    let aggregate = aggregate(of: outer)
    let count = UInt64(aggregate?.records.count ?? 1)
    for sub in min(consumed, count)..<count {
      if let inner = aggregate?.records[Int(sub)] {
        append(outer, sub, inner.key, outer.data[inner.data])
      } else {
        append(outer, sub, outer.key, outer.data[...])
      }
    }
    next = ShardPoint(ordinal: ordinal, sequence: SequenceNumber(outer.sequence.digits, sub: max(count, consumed)))
    return true
  }

  /// A producer that packs records for a shard that was split since sends them again, all of them (as KCL expects of it, which drops such
  /// an aggregate). Here its bytes are a record of their own: they go where records go that cannot be decoded, and not out of sight.
  private mutating func aggregate(of outer: OuterRecord) -> Aggregate? {
    guard let aggregate = Aggregate(outer.data) else { return nil }
    if aggregate.records.allSatisfy({ range.contains($0.hash) }) { return aggregate }
    misplacedAggregates += 1
    return nil
  }

  private mutating func append(_ outer: OuterRecord, _ sub: UInt64, _ key: String, _ value: ArraySlice<UInt8>) {
    keyOffset.append(UInt32(truncatingIfNeeded: text.count))
    keyLength.append(Int32(truncatingIfNeeded: key.utf8.count))
    text += key.utf8
    valueOffset.append(UInt32(truncatingIfNeeded: text.count))
    valueLength.append(UInt32(truncatingIfNeeded: value.count))
    text += value
    ordinals.append(ordinal)
    ordinal += 1
    if let sequence = SequenceNumber(outer.sequence.digits, sub: sub) { sequences.append(sequence) }
    arrivals.append(RecordDetails.arrival(milliseconds: outer.arrival))
  }

  /// The block; not of an empty builder.
  func finish() -> RawBlock {
    let buffer = TextBuffer(bytes: text.count)
    text.withUnsafeBufferPointer { if let base = $0.baseAddress { buffer.base.update(from: base, count: $0.count) } }
    var block = RawBlock(
      text: buffer, count: text.count, framing: .spans(offset: valueOffset, length: valueLength), position: ordinals.first ?? next.ordinal)
    block.details = RecordDetails(
      shard: shard, positions: ordinals, arrivals: arrivals, isAppendTime: true, keyOffset: keyOffset, keyLength: keyLength,
      sequences: sequences)
    return block
  }
}
