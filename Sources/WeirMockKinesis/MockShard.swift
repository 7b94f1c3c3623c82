import WeirCore

/// A record as a shard keeps it.
struct MockRecord: Sendable {
  /// Grows over all streams of the server.
  var number: UInt64
  /// UTC milliseconds since 1970.
  var arrival: Int64
  var key: String
  /// Base64, as it came.
  var data: String
  /// Of key and data, decoded.
  var bytes: Int
}

/// Sequence numbers: as long as the service's, 56 digits, and growing with the number that they are made from.
enum MockSequence {
  private static let base = "49590338271490256608559692538361571"
  private static let width = 21

  static func text(_ number: UInt64) -> String {
    let digits = String(number)
    return base + String(repeating: "0", count: width - digits.utf8.count) + digits
  }

  /// Whether a text is a number as requests have them: `0|([1-9]\d{0,128})`.
  static func isNumber(_ text: String) -> Bool { SequenceNumber(text) != nil }
}

/// A shard: a range of hashes, and the records that came to it and were not trimmed.
struct MockShard: Sendable {
  let id: String
  let range: HashRange
  /// One after a split, two after a merge.
  let parents: [String]
  /// Smaller than the numbers of its records.
  let first: UInt64
  let created: Int64
  /// The last number that it may have, and when it was closed.
  private(set) var closed: (number: UInt64, at: Int64)?
  private var kept: [MockRecord] = []
  /// Of `kept`: trimmed, and not removed yet.
  private var head = 0
  /// Trimmed and removed.
  private var removed = 0
  var limits = MockLimits()

  init(id: String, range: HashRange, parents: [String], first: UInt64, created: Int64) {
    (self.id, self.range, self.parents, self.first, self.created) = (id, range, parents, first, created)
  }

  /// The place of the oldest record that is there; places count the records that the shard ever had.
  var start: Int { removed + head }
  /// After the last one.
  var end: Int { removed + kept.count }

  mutating func append(_ record: MockRecord) { kept.append(record) }

  mutating func close(at number: UInt64, _ now: Int64) { closed = (number, now) }

  subscript(place: Int) -> MockRecord { kept[place - removed] }

  /// Drops records from the oldest on.
  mutating func trim(_ count: Int) {
    head = min(kept.count, head + max(0, count))
    if head > 1024, head * 2 > kept.count {
      kept.removeFirst(head)
      (removed, head) = (removed + head, 0)
    }
  }

  /// Drops what came before a moment.
  mutating func trim(before moment: Int64) {
    var count = 0
    while head + count < kept.count, kept[head + count].arrival < moment { count += 1 }
    trim(count)
  }

  // MARK: Places

  /// The first record whose number is at least, or greater than, the text's.
  func place(of text: String, isAfter: Bool) -> Int? {
    guard let wanted = SequenceNumber(text) else { return nil }
    return place { record in
      guard let number = SequenceNumber(MockSequence.text(record.number)) else { return true }
      return isAfter ? number > wanted : number >= wanted
    }
  }

  /// The first record that arrived at a moment or after it.
  func place(from moment: Int64) -> Int { place { $0.arrival >= moment } }

  private func place(_ isFound: (MockRecord) -> Bool) -> Int {
    var (low, high) = (start, end)
    while low < high {
      let middle = (low + high) / 2
      if isFound(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// How far a place is from the shard's end, in milliseconds; 0: nothing comes after it.
  func behind(_ place: Int, at now: Int64) -> Int64 { place >= end ? 0 : max(1, now - self[max(place, start)].arrival) }

  /// Records from a place on: at least one if there is one, and no more bytes or records than asked for.
  func records(from place: Int, limit: Int, bytesMax: Int) -> Range<Int> {
    let first = min(max(place, start), end)
    var (last, bytes) = (first, 0)
    while last < end, last - first < limit, bytes == 0 || bytes + self[last].bytes <= bytesMax {
      bytes += self[last].bytes
      last += 1
    }
    return first..<last
  }
}

/// What a shard allows in a second, where the server was started with limits (Developer Guide, "Quotas and limits").
struct MockLimits: Sendable {
  private static let (readsMax, readBytesMax) = (5, 2_000_000)
  private static let (recordsMax, writeBytesMax) = (1000, 1_000_000)

  private var reads = MockWindow()
  private var writes = MockWindow()
  private var blockedUntil: Int64 = 0

  /// Whether GetRecords may read now.
  mutating func mayRead(at now: Int64) -> Bool {
    reads.turn(now)
    guard now >= blockedUntil, reads.count < MockLimits.readsMax, reads.bytes < MockLimits.readBytesMax else { return false }
    reads.count += 1
    return true
  }

  /// An answer of more than 2 MB is paid for in the seconds after it.
  mutating func read(_ bytes: Int, at now: Int64) {
    reads.bytes += bytes
    if bytes > MockLimits.readBytesMax { blockedUntil = now + Int64(bytes) * 1000 / Int64(MockLimits.readBytesMax) }
  }

  /// Counts a record, or says that it is too much for this second.
  mutating func write(_ bytes: Int, at now: Int64) -> Bool {
    writes.turn(now)
    guard writes.count < MockLimits.recordsMax, writes.count == 0 || writes.bytes + bytes <= MockLimits.writeBytesMax else { return false }
    (writes.count, writes.bytes) = (writes.count + 1, writes.bytes + bytes)
    return true
  }
}

/// A second that is counted.
private struct MockWindow: Sendable {
  var began: Int64 = 0
  var count = 0
  var bytes = 0

  mutating func turn(_ now: Int64) { if now - began >= 1000 { (began, count, bytes) = (now, 0, 0) } }
}
