import WeirCore

/// Which fields are the key, the id and the time, from their names and from what the sample shows.
struct Roles {
  struct Time {
    var field: Int
    var measure: TimeMeasure
    var outOfOrder: (text: String, microseconds: Int64)
    var lateness: (text: String, microseconds: Int64)
  }

  struct ID {
    var field: Int
    var repeats: Int
    /// Of the repeats: those whose record differs.
    var conflicts: Int
    /// The most that the newest time rose between a record and its repeat, in microseconds.
    var distance: Int64
    var within: (text: String, microseconds: Int64)
  }

  private(set) var time: Time?
  private(set) var key: (field: Int, distinct: Int)?
  private(set) var id: ID?

  /// Fields that are looked at for each role.
  private static let candidatesMax = 8

  // MARK: Candidates

  private static func isScalar(_ field: FieldGuess) -> Bool { field.guess.time == nil && ["string", "int64"].contains(field.guess.type) }

  /// Indices of the fields that may have a role: at most 24.
  static func candidates(_ fields: [FieldGuess], records: Int) -> [Int] {
    func best(_ fits: (FieldGuess) -> Bool, _ score: (NameWords) -> Int) -> [Int] {
      let scored = fields.indices.filter { fits(fields[$0]) }.map {
        (index: $0, score: score(NameWords(fields[$0].path)) * 4 - fields[$0].path.count)
      }
      return scored.sorted { ($1.score, $0.index) < ($0.score, $1.index) }.prefix(candidatesMax).map(\.index)
    }
    let times = best({ $0.guess.time != nil && $0.stats.given * 10 >= records * 9 }, \.timeScore)
    func scalars(_ percent: Int) -> (FieldGuess) -> Bool { { isScalar($0) && $0.stats.given * 100 >= records * percent } }
    return Set(times + best(scalars(90), \.keyScore) + best(scalars(99), \.idScore)).sorted()
  }

  // MARK: Choice

  init(_ fields: [FieldGuess], _ columns: [SampleColumn], records: [Int]) {
    func words(_ column: SampleColumn) -> NameWords { NameWords(fields[column.field].path) }
    let scalars = columns.filter { Roles.isScalar(fields[$0.field]) }
    time = Roles.time(fields, columns)
    // Values that repeat, and of which there are several. Under the name of an owner some repeats are enough: a sample is short.
    let keys = scalars.compactMap { column -> (field: Int, distinct: Int, score: Int)? in
      let (score, distinct) = (words(column).keyScore, column.distinct)
      guard score > 0, distinct > 1, distinct * 100 <= column.given * (score > 2 ? 95 : 60) else { return nil }
      return (column.field, distinct, score * 10 - fields[column.field].path.count)
    }
    key = keys.max { ($0.score, $1.field) < ($1.score, $0.field) }.map { ($0.field, $0.distinct) }
    let keyColumn = columns.first { $0.field == key?.field }
    let ids = scalars.compactMap { column -> (id: ID, score: Int)? in
      let score = words(column).idScore
      guard score > 0, column.field != key?.field, let id = Roles.id(column, key: keyColumn, records, time?.measure) else { return nil }
      return (id, score * 10 - fields[column.field].path.count - (id.conflicts > 0 ? 10 : 0))
    }
    id = ids.max { ($0.score, $1.id.field) < ($1.score, $0.id.field) }?.id
  }

  private static func time(_ fields: [FieldGuess], _ columns: [SampleColumn]) -> Time? {
    let hour: Int64 = 3_600_000_000
    let found = columns.compactMap { column -> (field: Int, measure: TimeMeasure, score: Int)? in
      guard fields[column.field].guess.time != nil, column.distinct > 1 || column.hashes.count == 1,
        let measure = TimeMeasure(column.times)
      else { return nil }
      let score = NameWords(fields[column.field].path).timeScore * 4 - fields[column.field].path.count
      return (column.field, measure, score - (measure.delay(0.9) > hour ? 8 : 0))
    }
    guard let best = found.max(by: { ($0.score, $1.field) < ($1.score, $0.field) }) else { return nil }
    // A window that waits for the latest of all records waits for ever.
    let share = [0.99, 0.95, 0.9, 0.5].first { best.measure.delay($0) <= 6 * hour } ?? 0.5
    let bound = RoundDuration.above(best.measure.delay(share))
    let rest = best.measure.delay(0.999) - bound.microseconds
    return Time(field: best.field, measure: best.measure, outOfOrder: bound, lateness: RoundDuration.above(max(0, min(rest, 24 * hour))))
  }

  /// - Parameter records: a hash of each record.
  /// - Returns: nil: it is no id, because different records have the same.
  private static func id(_ column: SampleColumn, key: SampleColumn?, _ records: [Int], _ time: TimeMeasure?) -> ID? {
    struct Identity: Hashable {
      var id: Int
      var key: Int
    }
    var first: [Identity: Int] = [:]
    var (repeats, conflicts, distance) = (0, 0, Int64(0))
    for (row, hash) in column.hashes.enumerated() where hash != 0 {
      let identity = Identity(id: hash, key: key?.hashes[row] ?? 0)
      guard let before = first[identity] else {
        first[identity] = row
        continue
      }
      repeats += 1
      if records[before] != records[row] { conflicts += 1 }
      if let time, time.newest[before] != .min { distance = max(distance, time.newest[row] - time.newest[before]) }
    }
    guard column.given > 1 || column.hashes.count == 1, repeats * 2 < max(1, column.given), conflicts * 100 <= column.given else {
      return nil
    }
    let hour: Int64 = 3_600_000_000
    let within = RoundDuration.above(repeats == 0 ? hour : max(60_000_000, distance * 2))
    return ID(field: column.field, repeats: repeats, conflicts: conflicts, distance: distance, within: within)
  }
}
