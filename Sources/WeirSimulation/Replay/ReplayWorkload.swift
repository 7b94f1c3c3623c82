import WeirCore
import WeirTesting

/// A capture's bytes, made before anything runs: the one thing that the simulated file and the oracle share.
struct ReplayWorkload: Sendable {
  static let stream = SourceWorkload.stream

  struct Line: Sendable {
    /// nil: the line is blank. Its position is the byte at which the line begins.
    var record: SourceRecord?
    /// After its line end, or after the last byte of the capture.
    var end: Int64
    /// Virtual nanoseconds from which on the file has it.
    var writtenAt: Int64
  }

  private(set) var lines: [Line] = []
  private(set) var bytes: [UInt8] = []
  /// The file is written while it is replayed.
  let grows: Bool
  /// When the last line is written, virtual nanoseconds.
  private(set) var endsAt: Int64 = 0
  /// A cut is after the first line that ends at or after a multiple of this.
  let cutBytes: Int64
  let lanes: Int
  let deal: Dealing

  var length: Int64 { Int64(bytes.count) }

  /// About one record in seven comes twice, one in twenty is broken, one in fourteen comes late; some lines are blank.
  init(random: inout SplitMix64) {
    grows = random.chance(0.3)
    cutBytes = Int64(200 + random.below(2_000))
    lanes = 1 + random.below(4)
    deal = random.chance(0.5) ? .murmur2 : .md5
    let users = (0..<12 + random.below(12)).map { "u\($0)" }
    let count = 50 + random.below(120)
    var sent: [SourceRecord] = []
    var writtenAt: Int64 = 0
    for i in 0..<count {
      if grows { writtenAt += Int64(random.below(random.chance(0.04) ? 900 : 40)) * 1_000_000 }
      if random.chance(0.03) { add(nil, isLast: false, at: writtenAt) }
      let late = random.chance(0.07) ? 8 : 0
      var record = SourceRecord(
        position: length, id: i, user: users[random.below(users.count)],
        kind: SourceWorkload.kinds[random.below(SourceWorkload.kinds.count)],
        at: SourceWorkload.base + i / 4 + random.below(3) - late, amount: 1 + random.below(9), isBad: random.chance(0.05), sentAt: writtenAt
      )
      if !sent.isEmpty, random.chance(0.15) {
        record = sent[random.below(sent.count)]
        record.position = length
      }
      // A capture without one record that can be used is refused.
      if i == count / 2 { record.isBad = false }
      sent.append(record)
      add(record, isLast: i == count - 1 && random.chance(0.3), at: writtenAt)
    }
    endsAt = writtenAt
  }

  /// - Parameter isLast: without a line end, as a file may end.
  private mutating func add(_ record: SourceRecord?, isLast: Bool, at time: Int64) {
    bytes += record?.text ?? []
    if !isLast { bytes.append(0x0A) }
    lines.append(Line(record: record, end: length, writtenAt: time))
  }

  /// Bytes that the file has at a time.
  func length(at time: Int64) -> Int64 { lines.last { $0.writtenAt <= time }?.end ?? 0 }

  /// Lines in `from..<to`.
  func lines(_ from: Int64, _ to: Int64) -> ArraySlice<Line> {
    let first = lines.firstIndex { $0.end > from } ?? lines.endIndex
    let end = lines[first...].firstIndex { $0.end > to } ?? lines.endIndex
    return lines[first..<end]
  }

  func isLineEnd(_ position: Int64) -> Bool { position == 0 || lines.contains { $0.end == position } }

  /// Where a replay of the whole file cuts after a position that is a cut itself.
  func cut(after position: Int64) -> Int64 {
    var at = position
    repeat {
      let due = (at / cutBytes + 1) * cutBytes
      at = lines.first { $0.end >= due }?.end ?? length
      // Nothing is committed before there is a record that can be used.
    } while at < length && hasOnlyBad(before: at)
    return at
  }

  private func hasOnlyBad(before position: Int64) -> Bool {
    let records = lines(0, position).compactMap(\.record)
    return !records.isEmpty && records.allSatisfy(\.isBad)
  }

  /// The hash of the bytes before a position, as a source gives it.
  func hash(before position: Int64) -> Hash128 {
    let hash = RunningHash()
    bytes.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<Int(position)])) }
    return hash.digest
  }
}
