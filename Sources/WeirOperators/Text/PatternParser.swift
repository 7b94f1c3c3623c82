import WeirCore

/// Lines that a pattern takes apart.
struct PatternParser: CellParser {
  private let matcher: PatternMatcher?
  private let names: [String]
  private let nulls: [[UInt8]]

  /// - Parameter pattern: nil: none that this version can read, which rejects all lines.
  init(_ pattern: LinePattern?, nulls: [String]) {
    matcher = pattern.map(PatternMatcher.init)
    names = pattern?.names ?? []
    self.nulls = nulls.map { Array($0.utf8) }
  }

  /// One more than there are names, for fields that the pattern does not have.
  var width: Int { names.count + 1 }

  func place(of name: String) -> Int { names.firstIndex(of: name) ?? names.count }

  mutating func begin(_ arena: Arena, isLines: Bool) {}

  func parse(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ cells: UnsafeMutablePointer<TextCell>
  ) throws(DecodeError) -> StaticString? {
    guard let matcher else { throw DecodeError(reason: "the pattern cannot be read by this version", at: start) }
    let count = end - start
    guard count <= PatternMatcher.lineBytesMax else {
      throw DecodeError(reason: "the line has \(count) bytes, and \(PatternMatcher.lineBytesMax) is the most (pattern_line)", at: start)
    }
    if let bad = UTF8Check.firstError(start, end) { throw DecodeError(reason: "ill-formed UTF-8", at: bad) }
    switch matcher.match(start, count) {
    case .matches: break
    case .differs: throw DecodeError(reason: "the line does not match the pattern", at: start)
    case .tooMuch:
      throw DecodeError(reason: "to match the line takes more than \(PatternMatcher.workMax) steps (pattern_work)", at: start)
    }
    for i in names.indices {
      let (from, to) = (matcher.places[i * 2], matcher.places[i * 2 + 1])
      cells[i] = from < 0 || to < from || isNull(start + from, to - from) ? .null : TextCell(start: start + from, count: to - from)
    }
    return nil
  }

  private func isNull(_ start: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    nulls.contains { null in
      null.count == count && null.withUnsafeBufferPointer { $0.isEmpty || memoryEqual($0.baseAddress!, start, count) }
    }
  }
}
