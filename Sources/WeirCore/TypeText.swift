/// The text of a nested type: `list<int64>`, `struct<a:int64,"b:c":string>`, `map<string,list<double>>`.
///
/// White space is allowed between its parts. A member's name in double quotes may hold any characters, a quote doubled. In it a timestamp
/// is text with a zone.
public enum TypeText {
  /// Types within types.
  public static let depthMax = 16
  /// Scalar types in one type: each is a column of a file.
  public static let leavesMax = 256

  /// Why a text is not a type.
  public struct Fault: Error, Sendable {
    public var reason: String
  }

  private static let words = ["list", "struct", "map"]

  /// Whether a text is meant to be a nested type.
  public static func isNested(_ text: some StringProtocol) -> Bool {
    let word = text.prefix { $0.isLetter }
    return words.contains(String(word)) || text.contains("<")
  }

  public static func parse(_ text: some StringProtocol) throws(Fault) -> ColumnType {
    var reader = Reader(text: Array(text))
    let type = try reader.type(depth: 0)
    guard reader.next == nil else { throw Fault(reason: "the end is expected before '\(reader.rest)'") }
    guard reader.leaves <= leavesMax else {
      throw Fault(reason: "it has \(reader.leaves) scalar types, and at most \(leavesMax) (nested_leaves)")
    }
    return type
  }

  /// A member's name as a type's text has it.
  static func shown(_ name: String) -> String {
    !name.isEmpty && name.allSatisfy(isPlain)
      ? name : "\"\(name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\""
  }

  private static func isPlain(_ c: Character) -> Bool { !c.isWhitespace && !"<>,:\"()".contains(c) }

  private struct Reader {
    let text: [Character]
    var at = 0
    var leaves = 0

    init(text: [Character]) { self.text = text }

    /// The next character that is not white space.
    var next: Character? { text[at...].first { !$0.isWhitespace } }
    var rest: String { String(text[at...].drop { $0.isWhitespace }.prefix(20)) }

    private mutating func take(_ c: Character) -> Bool {
      guard let place = text[at...].firstIndex(where: { !$0.isWhitespace }), text[place] == c else { return false }
      at = place + 1
      return true
    }

    private mutating func expect(_ c: Character, _ what: String) throws(Fault) {
      guard take(c) else { throw Fault(reason: "'\(c)' is expected \(what)\(next == nil ? "" : ", before '\(rest)'")") }
    }

    private mutating func word() -> String {
      while at < text.count, text[at].isWhitespace { at += 1 }
      let start = at
      while at < text.count, TypeText.isPlain(text[at]) { at += 1 }
      return String(text[start..<at])
    }

    mutating func type(depth: Int) throws(Fault) -> ColumnType {
      guard depth < TypeText.depthMax else {
        throw Fault(reason: "it has more than \(TypeText.depthMax) types within types (nested_depth)")
      }
      let word = word()
      switch word {
      case "list":
        try expect("<", "after list")
        let element = try type(depth: depth + 1)
        try expect(">", "after \(element.name)")
        return .list(element: element)
      case "map":
        try expect("<", "after map")
        guard self.word() == "string" else { throw Fault(reason: "the keys of a map are strings: map<string,TYPE>") }
        try expect(",", "after the type of a map's keys")
        leaves += 1
        let value = try type(depth: depth + 1)
        try expect(">", "after \(value.name)")
        return .map(value: value)
      case "struct": return try structure(depth)
      default: return try scalar(word)
      }
    }

    private mutating func structure(_ depth: Int) throws(Fault) -> ColumnType {
      try expect("<", "after struct")
      var members: [StructMember] = []
      repeat {
        let name = try name()
        try expect(":", "after \(TypeText.shown(name))")
        members.append(StructMember(name, try type(depth: depth + 1)))
        guard leaves <= TypeText.leavesMax else {
          throw Fault(reason: "it has more than \(TypeText.leavesMax) scalar types (nested_leaves)")
        }
      } while take(",")
      try expect(">", "after the last member of a struct")
      if let twice = members.indices.first(where: { i in
        members[..<i].contains { ColumnNames.folded($0.name) == ColumnNames.folded(members[i].name) }
      }) {
        throw Fault(reason: "a struct has two members \(members[twice].name); in a table, case does not distinguish names")
      }
      return .structure(members: members)
    }

    private mutating func name() throws(Fault) -> String {
      guard take("\"") else {
        let word = word()
        guard !word.isEmpty else { throw Fault(reason: "a member of a struct is NAME:TYPE\(next == nil ? "" : ", before '\(rest)'")") }
        return word
      }
      var name = ""
      while at < text.count {
        if text[at] == "\"" {
          at += 1
          guard at < text.count, text[at] == "\"" else { return name }
        }
        name.append(text[at])
        at += 1
      }
      throw Fault(reason: "a name in quotes does not end")
    }

    private mutating func scalar(_ word: String) throws(Fault) -> ColumnType {
      leaves += 1
      var name = word
      if word == "decimal" {
        try expect("(", "after decimal")
        let precision = self.word()
        try expect(",", "between the digits of decimal(12,2)")
        let scale = self.word()
        try expect(")", "at the end of decimal(12,2)")
        name = "decimal(\(precision),\(scale))"
      }
      // A scalar only: `list|x` begins like a nested type, and would be read again without end.
      if let type = ColumnType(scalar: name), type != .binary { return type }
      if word.hasPrefix("timestamp_") { throw Fault(reason: "\(word): within a list, struct or map a timestamp is text with a zone") }
      if word.hasSuffix("!") { throw Fault(reason: "\(word): only a field as a whole is required; what is in it may be null") }
      if word.hasSuffix("?") { throw Fault(reason: "unknown type \(word): write \(word.dropLast()); what is in a type may be null") }
      if word == "json" { throw Fault(reason: "json is the type of a whole field: write string here, or json instead of the whole type") }
      if word.isEmpty { throw Fault(reason: "a type is missing\(next == nil ? "" : " before '\(rest)'")") }
      throw Fault(reason: "unknown type \(name)\(TypeHabits.name(of: word).map { " (did you mean \($0)?)" } ?? "")")
    }
  }
}
