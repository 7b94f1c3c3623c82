/// Characters that a place of a pattern may have.
struct PatternSet: Hashable, Sendable {
  /// ASCII, a bit each.
  var low: UInt64 = 0
  var high: UInt64 = 0
  /// Of the others; ascending, apart.
  var others: [ClosedRange<UInt32>] = []

  static let allOthers: ClosedRange<UInt32> = 0x80...0x10_FFFF
  /// All but the end of a line.
  static let any = PatternSet(low: ~(1 << 10), high: .max, others: [allOthers])

  mutating func insert(_ range: ClosedRange<UInt32>) {
    for c in range.lowerBound...max(range.lowerBound, min(range.upperBound, 0x7F)) where c < 0x80 && c <= range.upperBound {
      if c < 64 { low |= 1 << UInt64(c) } else { high |= 1 << UInt64(c - 64) }
    }
    guard range.upperBound >= 0x80 else { return }
    others.append(max(range.lowerBound, 0x80)...range.upperBound)
    others.sort { $0.lowerBound < $1.lowerBound }
    var merged: [ClosedRange<UInt32>] = []
    for range in others {
      if let last = merged.last, range.lowerBound <= last.upperBound + 1 {
        merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    others = merged
  }

  mutating func insert(_ set: PatternSet) {
    (low, high) = (low | set.low, high | set.high)
    for range in set.others { insert(range) }
  }

  var inverted: PatternSet {
    var out = PatternSet(low: ~low, high: ~high)
    var next: UInt32 = 0x80
    for range in others {
      if range.lowerBound > next { out.others.append(next...(range.lowerBound - 1)) }
      next = range.upperBound + 1
    }
    if next <= 0x10_FFFF { out.others.append(next...0x10_FFFF) }
    return out
  }

  @inline(__always)
  func hasASCII(_ c: UInt8) -> Bool { (c < 64 ? low >> UInt64(c) : high >> UInt64(c & 63)) & 1 != 0 }

  func isDisjoint(from set: PatternSet) -> Bool {
    low & set.low == 0 && high & set.high == 0
      && others.allSatisfy { range in set.others.allSatisfy { !$0.overlaps(range) } }
  }

  /// With both cases of ASCII's letters.
  var caseless: PatternSet {
    var out = self
    let letters: UInt64 = 0x07FF_FFFE
    let found = (high | high >> 32) & letters
    out.high |= found | found << 32
    return out
  }
}

/// A pattern as a tree.
indirect enum PatternNode {
  case empty
  case byte(UInt8)
  case set(PatternSet)
  case all([PatternNode])
  case any([PatternNode])
  case times(PatternNode, least: Int, most: Int?, isGreedy: Bool)
  case group(Int, PatternNode)
  case start, end, boundary, noBoundary

  /// It matches a text without characters.
  var mayBeEmpty: Bool {
    switch self {
    case .empty, .start, .end, .boundary, .noBoundary: true
    case .byte, .set: false
    case .all(let parts): parts.allSatisfy(\.mayBeEmpty)
    case .any(let parts): parts.contains(where: \.mayBeEmpty)
    case .times(let part, let least, _, _): least == 0 || part.mayBeEmpty
    case .group(_, let part): part.mayBeEmpty
    }
  }
}

/// Why a text is no pattern.
package struct PatternFault: Error, Sendable {
  package var reason: String
  /// UTF-8 byte offset in the text.
  package var offset: Int
}

/// Reads regular expressions: what can be matched in linear time of the syntax that Perl, Python and Go share.
struct PatternReader {
  static let depthMax = 100
  static let timesMax = 1000

  private let text: [UInt8]
  private var at = 0
  private var isCaseless = false
  private var depth = 0
  /// Names of groups, in order.
  private(set) var names: [String] = []

  init(_ text: [UInt8]) { self.text = text }

  mutating func read() throws(PatternFault) -> PatternNode {
    if text.starts(with: "(?i)".utf8) { (isCaseless, at) = (true, 4) }
    let node = try alternatives()
    guard at == text.count else { throw fault("there is a ) without a (") }
    return node
  }

  private func fault(_ reason: String, _ offset: Int? = nil) -> PatternFault { PatternFault(reason: reason, offset: offset ?? at) }
  private var next: UInt8? { at < text.count ? text[at] : nil }
  private func isNext(_ words: String) -> Bool { text[at...].starts(with: words.utf8) }

  private mutating func take(_ words: String) -> Bool {
    guard isNext(words) else { return false }
    at += words.utf8.count
    return true
  }

  private mutating func alternatives() throws(PatternFault) -> PatternNode {
    depth += 1
    defer { depth -= 1 }
    guard depth <= PatternReader.depthMax else { throw fault("groups are nested more than \(PatternReader.depthMax) deep (pattern_depth)") }
    var found = [try sequence()]
    while take("|") { found.append(try sequence()) }
    return found.count == 1 ? found[0] : .any(found)
  }

  private mutating func sequence() throws(PatternFault) -> PatternNode {
    var parts: [PatternNode] = []
    while let c = next, c != UInt8(ascii: "|"), c != UInt8(ascii: ")") { parts.append(try repeated()) }
    return parts.count == 1 ? parts[0] : parts.isEmpty ? .empty : .all(parts)
  }

  private mutating func repeated() throws(PatternFault) -> PatternNode {
    let start = at
    var node = try atom()
    var isRepeated = false
    while let (least, most) = try times() {
      if isRepeated { throw fault("a repetition of a repetition: put it into a group, (?:…)") }
      switch node {
      case .start, .end, .boundary, .noBoundary: throw fault("there is nothing to repeat", start)
      default: break
      }
      let isLazy = take("?")
      if !isLazy, next == UInt8(ascii: "+") { throw fault("possessive repetitions are not supported") }
      node = .times(node, least: least, most: most, isGreedy: !isLazy)
      isRepeated = true
    }
    return node
  }

  private mutating func times() throws(PatternFault) -> (Int, Int?)? {
    if take("*") { return (0, nil) }
    if take("+") { return (1, nil) }
    if take("?") { return (0, 1) }
    let start = at
    guard take("{") else { return nil }
    let least = number()
    let hasComma = take(",")
    let most = hasComma ? number() : least
    guard let least, take("}") else { throw fault("a repetition is {n}, {n,} or {n,m}; write \\{ for the character", start) }
    guard least <= PatternReader.timesMax, (most ?? 0) <= PatternReader.timesMax else {
      throw fault("at most \(PatternReader.timesMax) repetitions (pattern_repeats)", start)
    }
    if let most, most < least { throw fault("the repetition's bounds are the wrong way round", start) }
    return (least, most)
  }

  private mutating func number() -> Int? {
    let start = at
    var value = 0
    while let c = next, c &- 0x30 < 10, at - start < 6 { (value, at) = (value * 10 + Int(c &- 0x30), at + 1) }
    return at > start ? value : nil
  }

  private mutating func atom() throws(PatternFault) -> PatternNode {
    let start = at
    let c = text[at]
    switch c {
    case UInt8(ascii: "("): return try group()
    case UInt8(ascii: "["): return .set(try set())
    case UInt8(ascii: "."):
      at += 1
      return .set(.any)
    case UInt8(ascii: "^"):
      at += 1
      return .start
    case UInt8(ascii: "$"):
      at += 1
      return .end
    case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"), UInt8(ascii: "{"): throw fault("there is nothing to repeat", start)
    case UInt8(ascii: "\\"):
      if take("\\b") { return .boundary }
      if take("\\B") { return .noBoundary }
      if take("\\A") { return .start }
      if take("\\z") || take("\\Z") { return .end }
      switch try escape() {
      case .set(let set): return .set(set)
      case .scalar(let scalar): return literal(scalar)
      }
    default: return literal(try scalar())
    }
  }

  private func literal(_ scalar: UInt32) -> PatternNode {
    if isCaseless {
      var set = PatternSet()
      set.insert(scalar...scalar)
      if set.caseless != set { return .set(set.caseless) }
    }
    guard scalar >= 0x80 else { return .byte(UInt8(scalar)) }
    // One character, which can be repeated, has several bytes.
    var set = PatternSet()
    set.insert(scalar...scalar)
    return .set(set)
  }

  /// The character here, which may have several bytes.
  private mutating func scalar() throws(PatternFault) -> UInt32 {
    let c = text[at]
    let length = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4
    guard at + length <= text.count, let found = String(decoding: text[at..<at + length], as: UTF8.self).unicodeScalars.first else {
      throw fault("ill-formed UTF-8")
    }
    at += length
    return found.value
  }

  // MARK: Groups

  private mutating func group() throws(PatternFault) -> PatternNode {
    let start = at
    at += 1
    var number: Int?
    if take("?") {
      if take("P<") || isNext("<") && !isNext("<=") && !isNext("<!") && take("<") {
        number = try name(start)
      } else if !take(":") {
        let shown = String(decoding: text[start..<min(text.count, start + 4)], as: UTF8.self)
        throw fault("\(shown) is not supported: groups are (?:…) and (?<name>…), and (?i) can only be at the beginning", start)
      }
    }
    let inner = try alternatives()
    guard take(")") else { throw fault("a ( without a )", start) }
    return number.map { .group($0, inner) } ?? inner
  }

  private mutating func name(_ start: Int) throws(PatternFault) -> Int {
    let first = at
    while let c = next, c | 0x20 >= 0x61 && c | 0x20 <= 0x7A || c &- 0x30 < 10 || c == UInt8(ascii: "_") { at += 1 }
    let name = String(decoding: text[first..<at], as: UTF8.self)
    guard !name.isEmpty, name.utf8.first! &- 0x30 >= 10, take(">") else {
      throw fault("a group's name has letters, digits and _, such as (?<user_id>…)", start)
    }
    guard !names.contains(name) else { throw fault("two groups have the name \(name)", start) }
    guard names.count < LinePattern.groupsMax else {
      throw fault("more than \(LinePattern.groupsMax) named groups (pattern_groups)", start)
    }
    names.append(name)
    return names.count - 1
  }

  // MARK: Characters

  private enum Escaped {
    case set(PatternSet)
    case scalar(UInt32)
  }

  private static func ranges(_ ranges: ClosedRange<UInt8>...) -> PatternSet {
    var set = PatternSet()
    for range in ranges { set.insert(UInt32(range.lowerBound)...UInt32(range.upperBound)) }
    return set
  }
  private static let digits = ranges(0x30...0x39)
  private static let words = ranges(0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A)
  private static let spaces = ranges(0x09...0x0D, 0x20...0x20)

  private mutating func escape() throws(PatternFault) -> Escaped {
    let start = at
    at += 1
    guard let c = next else { throw fault("a \\ at the end", start) }
    at += 1
    switch Character(UnicodeScalar(c)) {
    case "d": return .set(PatternReader.digits)
    case "D": return .set(PatternReader.digits.inverted)
    case "w": return .set(PatternReader.words)
    case "W": return .set(PatternReader.words.inverted)
    case "s": return .set(PatternReader.spaces)
    case "S": return .set(PatternReader.spaces.inverted)
    case "t": return .scalar(0x09)
    case "n": return .scalar(0x0A)
    case "r": return .scalar(0x0D)
    case "f": return .scalar(0x0C)
    case "v": return .scalar(0x0B)
    case "x": return .scalar(try hex(2, start))
    case "u": return .scalar(try hex(4, start))
    default:
      if c | 0x20 >= 0x61 && c | 0x20 <= 0x7A || c &- 0x30 < 10 {
        throw fault("\\\(Character(UnicodeScalar(c))) is not supported", start)
      }
      guard c < 0x80 else { throw fault("\\ before a letter", start) }
      return .scalar(UInt32(c))
    }
  }

  private mutating func hex(_ digits: Int, _ start: Int) throws(PatternFault) -> UInt32 {
    guard at + digits <= text.count, let value = UInt32(String(decoding: text[at..<at + digits], as: UTF8.self), radix: 16),
      text[at] != 0x2B, Unicode.Scalar(value) != nil
    else { throw fault("\(digits) hexadecimal digits are expected", start) }
    at += digits
    return value
  }

  private mutating func set() throws(PatternFault) -> PatternSet {
    let start = at
    at += 1
    let isInverted = take("^")
    var set = PatternSet()
    var isFirst = true
    while true {
      guard let c = next else { throw fault("a [ without a ]", start) }
      if c == UInt8(ascii: "]"), !isFirst { break }
      isFirst = false
      if isNext("[:") { throw fault("[[:names:]] are not supported: write the ranges, or \\d, \\w, \\s") }
      switch try member() {
      case .set(let found): set.insert(found)
      case .scalar(let low):
        guard next == UInt8(ascii: "-"), at + 1 < text.count, text[at + 1] != UInt8(ascii: "]") else {
          set.insert(low...low)
          continue
        }
        at += 1
        guard case .scalar(let high) = try member(), low <= high else { throw fault("a range of characters is the wrong way round") }
        set.insert(low...high)
      }
    }
    at += 1
    if isCaseless { set = set.caseless }
    return isInverted ? set.inverted : set
  }

  private mutating func member() throws(PatternFault) -> Escaped {
    if next == UInt8(ascii: "\\") {
      if take("\\b") { return .scalar(0x08) }
      return try escape()
    }
    guard next != nil else { throw fault("a [ without a ]") }
    return .scalar(try scalar())
  }
}
