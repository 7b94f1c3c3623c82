/// What is remembered of one record of a shard: enough to see later that the shard still holds this record at its position.
public struct Fingerprint: Sendable, Hashable {
  public var position: ShardPoint
  /// The record's own timestamp, UTC microseconds since 1970; nil: it has none.
  public var timestamp: Int64?
  /// XXH3-128 of key, value and headers.
  public var checksum: Hash128

  public init(position: ShardPoint, timestamp: Int64?, checksum: Hash128) {
    self.position = position
    self.timestamp = timestamp
    self.checksum = checksum
  }

  /// `position timestamp checksum`, with `-` for no timestamp: the form in files.
  public var text: String { "\(position.text) \(timestamp.map(String.init) ?? "-") \(checksum.hex)" }

  /// Reads ``text``.
  public init?(text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 3, let position = ShardPoint(text: String(parts[0])), let checksum = Hash128(hex: String(parts[2])) else {
      return nil
    }
    let timestamp = Int64(parts[1])
    guard timestamp != nil || parts[1] == "-" else { return nil }
    self.init(position: position, timestamp: timestamp, checksum: checksum)
  }

  /// The record without its position, for messages.
  public var description: String {
    "a record \(timestamp.map { "of " + CivilTime.text(ofMicroseconds: $0) } ?? "without a timestamp") with checksum \(checksum.hex.prefix(16))"
  }
}

/// What distinguishes one incarnation of a shard from another: positions are valid only in the incarnation that they were read from.
public struct ShardIdentity: Sendable, Hashable {
  /// Of ``older``.
  public static let olderMax = 2

  /// The newest record that was read.
  public var last: Fingerprint?
  /// The newest record that a check found where it was read; before the first check the first one that was read, or the one before
  /// the start. If the shard was replaced since, this record is not there, however far the reading went on.
  public var anchor: Fingerprint?
  /// Earlier anchors, newest first: they decide when the anchor itself was compacted away.
  public var older: [Fingerprint]
  /// What the source calls this incarnation (a topic id, a creation time); nil: not known.
  public var incarnation: String?

  public init(last: Fingerprint? = nil, anchor: Fingerprint? = nil, older: [Fingerprint] = [], incarnation: String? = nil) {
    self.last = last
    self.anchor = anchor
    self.older = older
    self.incarnation = incarnation
  }

  public var isEmpty: Bool { self == ShardIdentity() }

  /// Records were read.
  /// - Parameter first: of them, where the caller has it.
  public mutating func read(first: Fingerprint?, last: Fingerprint) {
    if anchor == nil { anchor = first ?? last }
    self.last = last
  }

  /// Takes over what a check found; records may have been read since it began.
  public mutating func adopt(_ outcome: ShardCheck.Outcome) {
    func isThere(_ mark: Fingerprint) -> Bool { !outcome.absent.contains(mark.position) }
    incarnation = outcome.incarnation ?? incarnation
    last = last.flatMap { isThere($0) ? $0 : nil }
    older = older.filter(isThere)
    let before = anchor.flatMap { isThere($0) ? $0 : nil }
    anchor = outcome.newest ?? before
    guard let before, before != anchor else { return }
    older.insert(before, at: 0)
    if older.count > ShardIdentity.olderMax { thin() }
  }

  /// Leaves out the one that is closest to its neighbours, so that distances grow with age. The oldest stays until it is gone at
  /// the source.
  private mutating func thin() {
    let newest = (anchor ?? older[0]).position.ordinal
    let distances = older.dropLast().indices.map { number in
      let (after, before) = (number == 0 ? newest : older[number - 1].position.ordinal, older[number + 1].position.ordinal)
      return (number: number, share: (Double(after) - Double(before)) / max(1, Double(newest) - Double(before)))
    }
    if let closest = distances.min(by: { $0.share < $1.share }) { older.remove(at: closest.number) }
  }
}

extension RawBlock {
  /// The fingerprint of the record in a row; nil for blocks of a source that knows no records, only lines.
  public func fingerprint(_ row: Int) -> Fingerprint? {
    guard let details, case .spans(let offset, let length) = framing, details.positions.indices.contains(row) else { return nil }
    let hash = RunningHash()
    func add(_ bytes: UnsafeRawBufferPointer?) {
      // Lengths first, so that bytes cannot move from key to value unseen.
      withUnsafeBytes(of: Int64(bytes?.count ?? -1).littleEndian) { hash.update($0) }
      if let bytes { hash.update(bytes) }
    }
    add(details.key(row, in: text).map { UnsafeRawBufferPointer($0.bytes) })
    let value = UnsafeRawBufferPointer(start: text.base + Int(offset[row]), count: Int(length[row]))
    add(details.hasTombstones && details.isTombstone(row) ? nil : value)
    if var headers = details.headers(row) { headers.withUTF8 { add(UnsafeRawBufferPointer($0)) } } else { add(nil) }
    let arrival = details.arrivals[row]
    return Fingerprint(
      position: details.point(row), timestamp: arrival == RecordDetails.noArrival ? nil : arrival, checksum: hash.digest)
  }

  /// The fingerprint of the last record of the block.
  public var lastFingerprint: Fingerprint? { fingerprint((details?.positions.count ?? 0) - 1) }
}
