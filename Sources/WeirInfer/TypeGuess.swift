import WeirCore

/// The type of a field, from the values that it had.
struct TypeGuess {
  var type: String
  var coerce = false
  var zone: String?
  /// Values that are of another type: their records would be quarantined.
  var misfits = 0
  /// What a reader of the pipeline should know.
  var note: String?
  /// How a value is a time; nil: it is none.
  var time: TimeForm?

  enum TimeForm: Equatable {
    case text
    /// Text without a zone, as UTC.
    case local
    /// A number; its unit in microseconds is 1,000,000, 1,000 or 1, or below one.
    case epoch(perUnit: Double)
  }

  static let json = TypeGuess(type: "json")
}

struct TypeGuesser {
  /// All values are text: numbers are written as they are, and need no `coerce`.
  let isText: Bool
  /// Numbers of text have a comma before their fraction.
  let hasCommas: Bool

  /// `infer_misfits`: of a hundred values or more, this many per hundred may be of another type. Of fewer each one counts.
  static let misfitsMax = 3

  private static func isRare(_ some: Int, of all: Int) -> Bool { some == 0 || all >= 100 && some * 100 <= all * misfitsMax }

  func guess(_ stats: ValueStats, _ name: NameWords) -> TypeGuess {
    let all = stats.given
    guard all > 0 else {
      // Rows hold no JSON.
      var guess = isText ? TypeGuess(type: "string") : TypeGuess.json
      guess.note = "always null"
      return guess
    }
    if let number = mixedNumbers(stats, name) { return number }
    let kinds: [(count: Int, guess: () -> TypeGuess)] = [
      (stats.bools, { TypeGuess(type: "bool") }), (stats.numbers.count, { number(stats.numbers, name) }),
      (stats.texts.count, { text(stats.texts, name) }), (stats.arrays, { array(stats) }), (stats.objects, { TypeGuess.json }),
    ]
    guard let most = kinds.max(by: { $0.count < $1.count }) else { return .json }
    let others = all - most.count
    var guess = most.guess()
    let isText = guess.type == "string" || !TypeGuesser.isRare(others, of: all)
    if others > 0, isText, stats.bools + stats.numbers.count + stats.texts.count == all {
      return TypeGuess(type: "string", coerce: true, note: "text, numbers and truth values, all of them as text")
    }
    guard TypeGuesser.isRare(others, of: all) else {
      guess = .json
      guess.note = "values of several types"
      return guess
    }
    // JSON holds all values, as their text.
    if guess.type != "json" { guess.misfits += others }
    return guess
  }

  /// Numbers, some of which are written as text.
  private func mixedNumbers(_ stats: ValueStats, _ name: NameWords) -> TypeGuess? {
    guard stats.numbers.count > 0, stats.texts.numbers.count > 0, stats.texts.padded == 0, !name.isLabel else { return nil }
    var all = stats.numbers
    all.merge(stats.texts.numbers)
    guard all.least.isFinite, all.most.isFinite, TypeGuesser.isRare(stats.given - all.count, of: stats.given) else { return nil }
    var guess = number(all, name)
    guess.coerce = true
    guess.misfits = stats.given - all.count
    guess.note = "\(stats.texts.numbers.count) are written as text"
    return guess
  }

  // MARK: Numbers

  private static let units: [(type: String, perUnit: Double, most: Double)] = [
    ("timestamp_s", 1e6, 2.5e11), ("timestamp_ms", 1e3, 2.5e14), ("timestamp_us", 1, 2.5e17), ("timestamp_ns", 1e-3, 9.2e18),
  ]

  private func number(_ stats: NumberStats, _ name: NameWords) -> TypeGuess {
    guard stats.least.isFinite, stats.most.isFinite else {
      return TypeGuess(type: isText ? "string" : "json", note: "numbers beyond the largest double")
    }
    if name.isTime, stats.exponents == 0, stats.least >= 0 {
      for (unit, found) in stats.epochs.enumerated() where found * 10 >= stats.count * 9 && stats.most < TypeGuesser.units[unit].most {
        return TypeGuess(type: TypeGuesser.units[unit].type, time: .epoch(perUnit: TypeGuesser.units[unit].perUnit))
      }
    }
    if stats.exponents > 0 || stats.digits + stats.scale > 38 { return TypeGuess(type: "double") }
    if stats.fractions == 0 { return TypeGuess(type: stats.large > 0 ? "decimal(38,0)" : "int64") }
    guard name.isMoney, stats.scale <= 4 else { return TypeGuess(type: "double") }
    let scale = max(2, stats.scale)
    return TypeGuess(type: "decimal(\(stats.digits + scale <= 18 ? 18 : 38),\(scale))")
  }

  // MARK: Texts

  private func text(_ stats: TextStats, _ name: NameWords) -> TypeGuess {
    func isMost(_ count: Int) -> Bool { count > 0 && TypeGuesser.isRare(stats.count - count, of: stats.count) }
    if isMost(stats.zoned) { return TypeGuess(type: "timestamp", misfits: stats.count - stats.zoned, time: .text) }
    if isMost(stats.local) {
      let note = "the times have no zone: UTC is a guess"
      return TypeGuess(type: "timestamp", zone: "UTC", misfits: stats.count - stats.local, note: note, time: .local)
    }
    if stats.bools == stats.count { return TypeGuess(type: "bool", coerce: !isText) }
    let numbers = hasCommas ? stats.commas : stats.numbers
    guard isMost(numbers.count), stats.padded == 0, !name.isLabel else { return TypeGuess(type: "string") }
    // As numbers they would lose digits: they are names, such as positions in a stream.
    if numbers.fractions == 0, numbers.large > 0 { return TypeGuess(type: "string", note: "digits, more than an int64 has") }
    var guess = number(numbers, name)
    guard isText || guess.time != nil || numbers.fractions > 0 || name.isQuantity && !name.isID else {
      return TypeGuess(type: "string", note: "digits; with type: int64 and coerce: true they are numbers")
    }
    guess.coerce = !isText
    guess.misfits = stats.count - numbers.count
    return guess
  }

  // MARK: Lists

  private func array(_ stats: ValueStats) -> TypeGuess {
    var leaves = 0
    guard let element = stats.element, let type = nested(element, depth: 1, &leaves) else { return .json }
    return TypeGuess(type: ColumnType.list(element: type).name)
  }

  /// Types within a list that is written out: more are JSON.
  private static let leavesMax = 32
  private static let depthMax = 6

  /// A member's name that a table can have.
  private static func isColumn(_ name: String) -> Bool {
    !name.isEmpty && name.unicodeScalars.allSatisfy { $0.properties.isAlphabetic || $0.value &- 0x30 < 10 || $0 == "_" || $0 == "-" }
  }

  /// nil: the values are of several types, or of none that can be within a list.
  private func nested(_ stats: ValueStats, depth: Int, _ leaves: inout Int) -> ColumnType? {
    leaves += 1
    guard leaves <= TypeGuesser.leavesMax, depth <= TypeGuesser.depthMax, stats.given > 0 else { return nil }
    switch stats.given {
    case stats.bools: return .bool
    case stats.numbers.count:
      let numbers = stats.numbers
      return numbers.fractions + numbers.exponents > 0 ? .double : numbers.large > 0 ? nil : .int64
    case stats.texts.count: return stats.texts.zoned == stats.texts.count ? .timestamp : .string
    case stats.arrays: return stats.element.flatMap { nested($0, depth: depth + 1, &leaves) }.map { .list(element: $0) }
    case stats.objects:
      guard !stats.members.isEmpty, !stats.isMap, Set(stats.members.map { ColumnNames.folded($0.name) }).count == stats.members.count else {
        return nil
      }
      var members: [StructMember] = []
      for (name, value) in stats.members {
        guard TypeGuesser.isColumn(name), let type = nested(value, depth: depth + 1, &leaves) else { return nil }
        members.append(StructMember(name, type))
      }
      return .structure(members: members)
    default: return nil
    }
  }
}
