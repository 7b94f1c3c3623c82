import WeirCore

/// A compiled SQL pattern: `%` any text, `_` any one code point.
///
/// Linear in the text: pieces between two `%` are found from left to right, each by an automaton that reads every byte once.
struct LikePattern {
  /// Bytes of a pattern; the parser refuses longer ones.
  static let bytesMax = 4096

  /// The first piece is at the beginning, the last one at the end; only one if there is no `%`.
  private let pieces: [LikePiece]

  init(_ pattern: String, escape: String?) {
    var all: [[UInt16]] = [[]]
    var isEscaped = false
    // Code points, not Characters: a combining mark after a % does not make it another sign.
    let escape = escape?.unicodeScalars.first
    for character in pattern.unicodeScalars {
      if !isEscaped, let escape, character == escape {
        isEscaped = true
        continue
      }
      if !isEscaped, character == "%" {
        all.append([])
      } else if !isEscaped, character == "_" {
        all[all.count - 1].append(LikePiece.one)
      } else {
        all[all.count - 1] += UTF8.encode(character).map { $0.map { UInt16($0) } } ?? []
      }
      isEscaped = false
    }
    let last = all.count - 1
    pieces = all.enumerated().filter { $0 == 0 || $0 == last || !$1.isEmpty }.map { LikePiece($1, isSearched: $0 > 0 && $0 < last) }
  }

  func matches(_ s: StringRef) -> Bool {
    guard var at = pieces[0].end(s, at: 0) else { return false }
    guard pieces.count > 1 else { return at == s.count }
    for piece in pieces[1..<(pieces.count - 1)] {
      guard let end = piece.find(s, from: at) else { return false }
      at = end
    }
    guard let start = pieces[pieces.count - 1].start(s), start >= at else { return false }
    return pieces[pieces.count - 1].end(s, at: start) == s.count
  }
}

/// Text without `%`: bytes, and ``one`` for any one code point.
private struct LikePiece {
  static let one: UInt16 = 256

  private let elements: [UInt16]
  /// How many code points it takes.
  private let points: Int
  /// Without ``one``: the longest border of each prefix (Knuth, Morris, Pratt).
  private var borders: [Int] = []
  /// With ``one``: by byte, a bit for each element that accepts it (Shift-And); `words` words a byte.
  private var masks: [UInt64] = []
  private var ones: [UInt64] = []
  private var words = 0

  init(_ elements: [UInt16], isSearched: Bool) {
    self.elements = elements
    points = elements.count { $0 == LikePiece.one || $0 & 0xC0 != 0x80 }
    guard isSearched else { return }
    if elements.contains(LikePiece.one) { makeMasks() } else { makeBorders() }
  }

  private mutating func makeBorders() {
    borders = [Int](repeating: 0, count: elements.count)
    var length = 0
    for i in elements.indices.dropFirst() {
      while length > 0, elements[i] != elements[length] { length = borders[length - 1] }
      if elements[i] == elements[length] { length += 1 }
      borders[i] = length
    }
  }

  private mutating func makeMasks() {
    words = (elements.count + 63) / 64
    masks = [UInt64](repeating: 0, count: 256 * words)
    ones = [UInt64](repeating: 0, count: words)
    for (i, element) in elements.enumerated() {
      let bit = UInt64(1) << UInt64(i % 64)
      if element != LikePiece.one {
        masks[Int(element) * words + i / 64] |= bit
        continue
      }
      ones[i / 64] |= bit
      for byte in 0..<256 where byte & 0xC0 != 0x80 { masks[byte * words + i / 64] |= bit }
    }
  }

  /// Where it ends if it begins at `at`.
  func end(_ s: StringRef, at: Int) -> Int? {
    var at = at
    for element in elements {
      guard at < s.count else { return nil }
      if element != LikePiece.one {
        guard UInt16(s.start[at]) == element else { return nil }
        at += 1
      } else {
        guard s.start[at] & 0xC0 != 0x80 else { return nil }
        at = LikePiece.behindPoint(s, at + 1)
      }
    }
    return at
  }

  /// Where it begins if it ends with the text.
  func start(_ s: StringRef) -> Int? {
    var at = s.count
    for _ in 0..<points {
      repeat {
        guard at > 0 else { return nil }
        at -= 1
      } while s.start[at] & 0xC0 == 0x80
    }
    return at
  }

  /// Where the first one from `from` on ends.
  func find(_ s: StringRef, from: Int) -> Int? {
    if words > 0 { return findByMasks(s, from) }
    var length = 0
    for at in from..<max(from, s.count) {
      let byte = UInt16(s.start[at])
      while length > 0, byte != elements[length] { length = borders[length - 1] }
      if byte == elements[length] { length += 1 }
      if length == elements.count { return at + 1 }
    }
    return nil
  }

  private func findByMasks(_ s: StringRef, _ from: Int) -> Int? {
    let last = UInt64(1) << UInt64((elements.count - 1) % 64)
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: words) { state in
      state.initialize(repeating: 0)
      for at in from..<max(from, s.count) {
        let byte = Int(s.start[at])
        let isInside = byte & 0xC0 == 0x80
        var carry: UInt64 = 1
        for word in 0..<words {
          let before = state[word]
          // A code point of several bytes stays at its place.
          state[word] = ((before << 1 | carry) & masks[byte * words + word]) | (isInside ? before & ones[word] : 0)
          carry = before >> 63
        }
        if state[words - 1] & last != 0 { return LikePiece.behindPoint(s, at + 1) }
      }
      return nil
    }
  }

  private static func behindPoint(_ s: StringRef, _ at: Int) -> Int {
    var at = at
    while at < s.count, s.start[at] & 0xC0 == 0x80 { at += 1 }
    return at
  }
}
