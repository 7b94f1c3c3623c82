import WeirCore

/// A column of the inferred pipeline.
struct FieldGuess {
  /// Of the column: letters, digits and underscores, unique in any case.
  var name: String
  /// The names of the members that lead to the value.
  var path: [String]
  var stats: ValueStats
  var guess: TypeGuess

  /// In all records, and never null.
  func isAlways(in records: Int) -> Bool { stats.given == records && guess.misfits == 0 }
}

/// Makes columns of what was seen: objects become their members, as far as these are names and not data.
struct FieldFinder {
  /// `infer_fields`: columns; what is more is left out.
  static let fieldsMax = 500
  /// Names of a path.
  private static let depthMax = 6

  let guesser: TypeGuesser
  private(set) var fields: [FieldGuess] = []
  private(set) var leftOut = 0
  private var taken = Set<String>()

  init(_ guesser: TypeGuesser) { self.guesser = guesser }

  mutating func find(_ root: ValueStats) { add(root, path: []) }

  private mutating func add(_ object: ValueStats, path: [String]) {
    for (name, stats) in object.members {
      let path = path + [name]
      // A path has no step without a name.
      guard !name.isEmpty else {
        leftOut += 1
        continue
      }
      if stats.objects > 0, stats.objects == stats.given, !stats.members.isEmpty, !stats.isMap, path.count < FieldFinder.depthMax {
        add(stats, path: path)
        continue
      }
      guard fields.count < FieldFinder.fieldsMax, path.reduce(0, { $0 + $1.utf8.count }) < 400 else {
        leftOut += 1
        continue
      }
      var guess = guesser.guess(stats, NameWords(path))
      if stats.isMap { guess.note = "its names differ from record to record" }
      fields.append(FieldGuess(name: column(path), path: path, stats: stats, guess: guess))
    }
  }

  /// Words that expressions and readers of YAML take for something else.
  private static let reserved: Set<String> = [
    "and", "or", "not", "in", "is", "like", "between", "case", "when", "then", "else", "end", "null", "true", "false", "cast", "try_cast",
    "as", "from", "select", "where", "coalesce", "nullif", "exists", "yes", "no", "on", "off", "item", "revision", "window_start",
    "window_end", "records",
  ]

  private mutating func column(_ path: [String]) -> String {
    // Where it is plain, the record's own name stays.
    let words = path.map { step in
      String(step.unicodeScalars.map { $0.isASCII && ($0.properties.isAlphabetic || $0.value &- 0x30 < 10) ? Character($0) : "_" })
    }
    var name = words.joined(separator: "_").split(separator: "_").joined(separator: "_")
    if name.first.map(\.isLetter) != true { name = "field" + (name.isEmpty ? "" : "_\(name)") }
    if FieldFinder.reserved.contains(name.lowercased()) { name += "_value" }
    name = String(name.prefix(150))
    var (unique, number) = (name, 2)
    while !taken.insert(unique.lowercased()).inserted {
      unique = "\(name)_\(number)"
      number += 1
    }
    return unique
  }
}
