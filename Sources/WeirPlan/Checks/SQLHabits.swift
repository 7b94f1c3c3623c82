import WeirCore
import WeirOperators

/// What other languages and dialects write, and Weir's expressions have in another form.
package enum SQLHabits {
  /// What to write instead, by what stands where an expression is wrong; nil: nothing is evident.
  package static func hint(_ text: String, _ error: ExpressionError) -> String? {
    let bytes = Array(text.utf8)
    func has(_ word: String, at offset: Int) -> Bool {
      offset >= 0 && offset + word.utf8.count <= bytes.count && bytes[offset..<offset + word.utf8.count].elementsEqual(word.utf8)
    }
    let at = error.offset
    if has("==", at: at - 1) || has("==", at: at) { return "equality is written =" }
    if has("<=>", at: at - 2) { return sameOrBothNull }
    if has("~", at: at) || has("!~", at: at) { return noPatterns }
    if has("&", at: at) { return "write and instead of &&" }
    if has("||", at: at) {
      // Before a comparison, || comes first: its operand is a part of a condition.
      let joinsConditions = error.operandType == .bool || bytes.contains { [0x3C, 0x3D, 0x3E].contains($0) }
      return joinsConditions ? "|| joins texts: write or between conditions" : nil
    }
    if has("|", at: at) { return "write or between conditions, and || to join texts" }
    if has("!", at: at) { return "write not instead of !" }
    if has("::", at: at) { return cast(bytes[(at + 2)...]) }
    if has("[", at: at) { return noLists }
    if has("`", at: at) { return "names are written bare, or in double quotes" }
    if has(";", at: at) { return "leave out the ;" }
    if isCurly(bytes, at) { return "write straight quotes: '…' around texts, \"…\" around names" }
    if has("\"", at: at), error.needsText { return "texts are in single quotes; double quotes are for names" }
    if has("\"", at: at), error.unknownColumn != nil {
      let name = bytes[(at + 1)...].prefix { $0 != 0x22 }
      return "texts are in single quotes; double quotes are for names"
        + (name.contains(0x2E) ? ", and a path has them around each of its names: user.id or \"user\".\"id\"" : "")
    }
    return ofWord(bytes, at)
  }

  // MARK: Words

  private static func ofWord(_ bytes: [UInt8], _ at: Int) -> String? {
    let start = min(max(0, at), bytes.count)
    let word = word(bytes[start...])
    let rest = bytes[(start + word.utf8.count)...]
    let next = rest.first { $0 != 0x20 }
    switch word {
    case "distinct":
      let before = String(decoding: bytes[..<start], as: UTF8.self).lowercased().split { $0 == " " || $0 == "\n" || $0 == "\t" }.suffix(2)
      if before.last == "is" { return "write coalesce(x <> y, (x is null) <> (y is null))" }
      return before.last == "not" && before.first == "is" ? sameOrBothNull : words[word]
    case "array", "any", "some", "all": return next == 0x5B || next == 0x28 ? noLists : nil
    case "date", "interval":
      guard next == 0x27 else { return nil }
      return word == "date"
        ? "write timestamp '2026-01-31T00:00:00Z'"
        : "times have no sums: compare epoch_ms(t), which are milliseconds, such as epoch_ms(t) + 3600000"
    default: return words[word]
    }
  }

  /// In lower case.
  private static func word(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes.prefix { $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A || $0 == 0x5F }, as: UTF8.self).lowercased()
  }

  /// - Parameter type: what follows `::`.
  private static func cast(_ type: ArraySlice<UInt8>) -> String {
    let name = String(
      decoding: type.drop { $0 == 0x20 }.prefix { $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A || $0 &- 0x30 < 10 || $0 == 0x5F }, as: UTF8.self)
    let type = TypeHabits.name(of: name) ?? (FieldType.scalars.contains(name.lowercased()) ? name.lowercased() : "TYPE")
    return "write cast(x as \(type)) instead of x::\(name.isEmpty || name.utf8.count > 40 ? "TYPE" : name)"
  }

  private static let noPatterns = "regular expressions are not supported: like accepts % and _"
  private static let sameOrBothNull = "write coalesce(x = y, x is null and y is null)"
  private static let noLists =
    "an expression has no lists: write x in ('a', 'b') to compare with several values, and tags[0] for an element of a field"

  /// Whether there is a quotation mark of a word processor, or one that never ends because its other one is.
  private static func isCurly(_ bytes: [UInt8], _ offset: Int) -> Bool {
    guard offset >= 0, offset < bytes.count else { return false }
    let rest = String(decoding: bytes[offset...], as: UTF8.self)
    let marks: Set<Character> = ["\u{201C}", "\u{201D}", "\u{201E}", "\u{2018}", "\u{2019}", "\u{201A}", "\u{AB}", "\u{BB}"]
    let word = rest.prefix { !$0.isWhitespace }
    return (word.first == "'" || word.first == "\"" ? word.dropFirst() : word.prefix(1)).contains(where: marks.contains)
  }

  private static let words = [
    "ilike": "write lower(x) like '…' with a pattern in lower case",
    "rlike": noPatterns, "regexp": noPatterns, "similar": noPatterns, "regexp_matches": noPatterns, "regexp_like": noPatterns,
    "ifnull": "write coalesce(x, y)", "nvl": "write coalesce(x, y)", "isnull": "write x is null", "notnull": "write x is not null",
    "if": "write case when … then … else … end", "iif": "write case when … then … else … end",
    "elif": "write when … then … for each branch", "elseif": "write when … then … for each branch",
    "distinct": "distinct counts are not possible yet",
    "len": "write length(x)", "ucase": "write upper(x)", "lcase": "write lower(x)", "concat": "write x || y",
    "mod": "write x % y", "div": "write cast(x / y as int64)", "none": "write null", "nil": "write null",
    "now": "a result may not depend on the clock: use _arrival, when the record arrived",
    "current_timestamp": "a result may not depend on the clock: use _arrival, when the record arrived",
    "unix_timestamp": "write epoch_ms(t)", "to_timestamp": "write cast(x as timestamp)", "convert": "write cast(x as TYPE)",
  ]
}
