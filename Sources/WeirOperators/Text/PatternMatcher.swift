/// Matches lines by a pattern. Serves one thread.
///
/// It tries alternatives in their order and goes back where one fails, which on nearly all lines is a step a byte. A line on which it tries
/// more than ``triesPerByte`` a byte is matched once more with a memory of what has failed, so that nothing is tried twice: linear.
final class PatternMatcher {
  typealias Bytes = UnsafePointer<UInt8>

  /// `pattern_line`: bytes of a line that a pattern is tried on.
  static let lineBytesMax = 64 << 10
  private static let triesPerByte = 8
  private static let triesMin = 512
  /// `pattern_work`: steps of a line; it also bounds what is remembered of a line.
  static let workMax = 2_000_000

  enum Outcome: Sendable { case matches, differs, tooMuch }

  private enum Frame {
    /// Continue at a step and byte.
    case resume(step: Int, at: Int)
    /// A span may give back down to `least`.
    case shorter(step: Int, least: Int, at: Int)
    /// A group's place had this value.
    case place(Int, Int)
  }

  private let pattern: LinePattern
  private let fast: UnsafeMutableBufferPointer<LinePattern.Step>
  private let plain: UnsafeMutableBufferPointer<LinePattern.Step>
  private let sets: [PatternSet]
  /// By set and byte, whether it has an ASCII character.
  private let tables: UnsafeMutablePointer<Bool>
  private var frames: [Frame] = []
  /// Bits of step and byte that were tried and failed; where repetitions may be empty, two each: see ``isNew(_:_:_:)``.
  private var tried: [UInt64] = []
  private let bitsPerState: Int
  /// Of groups, where they start and end; -1: they took no part. Then where repetitions began.
  let places: UnsafeMutableBufferPointer<Int>
  /// Lines that took the slow way: for tests.
  private(set) var slowLines = 0

  init(_ pattern: LinePattern) {
    func copy<T>(_ values: [T]) -> UnsafeMutableBufferPointer<T> {
      let buffer = UnsafeMutableBufferPointer<T>.allocate(capacity: max(1, values.count))
      _ = buffer.initialize(from: values)
      return UnsafeMutableBufferPointer(rebasing: buffer[..<values.count])
    }
    self.pattern = pattern
    (fast, plain) = (copy(pattern.fast), copy(pattern.plain))
    sets = pattern.sets
    bitsPerState = pattern.placeCount > pattern.names.count * 2 ? 2 : 1
    tables = .allocate(capacity: max(1, sets.count) * 128)
    for (i, set) in sets.enumerated() { for c in 0..<128 { (tables + i * 128 + c).initialize(to: set.hasASCII(UInt8(c))) } }
    places = copy([Int](repeating: -1, count: pattern.placeCount))
  }

  deinit {
    fast.baseAddress?.deallocate()
    plain.baseAddress?.deallocate()
    tables.deallocate()
    places.baseAddress?.deallocate()
  }

  /// Whether the pattern matches the whole text, which is well-formed UTF-8 of at most ``lineBytesMax`` bytes. ``places`` has its groups.
  func match(_ start: Bytes, _ count: Int) -> Outcome {
    var tries = PatternMatcher.triesMin + PatternMatcher.triesPerByte * count
    if let result = run(fast, start, count, &tries, remembers: false) { return result ? .matches : .differs }
    slowLines += 1
    let states = plain.count * (count + 1) * bitsPerState
    guard states <= PatternMatcher.workMax * 32 else { return .tooMuch }
    tried = [UInt64](repeating: 0, count: (states + 63) / 64)
    defer { if tried.count > 1 << 14 { (tried, frames) = ([], []) } }
    tries = PatternMatcher.workMax
    return run(plain, start, count, &tries, remembers: true).map { $0 ? .matches : .differs } ?? .tooMuch
  }

  // MARK: Running

  /// - Parameter remembers: nothing is tried twice.
  /// - Returns: nil: too much was tried.
  private func run(
    _ steps: UnsafeMutableBufferPointer<LinePattern.Step>, _ text: Bytes, _ count: Int, _ tries: inout Int, remembers: Bool
  ) -> Bool? {
    frames.removeAll(keepingCapacity: true)
    for i in places.indices { places[i] = -1 }
    var (step, at) = (0, 0)
    while true {
      tries -= 1
      guard tries > 0 else { return nil }
      var holds = true
      switch steps[step] {
      case .byte(let byte):
        holds = at < count && text[at] == byte
        (step, at) = (step + 1, at + 1)
      case .set(let set):
        let next = character(set, text, at, count)
        holds = next > at
        (step, at) = (step + 1, next)
      case .span(let set, let least, let most, let isFinal):
        let from = at
        let shortest = span(set, text, count, least, most, &at)
        tries -= (at - from) >> 3
        holds = shortest >= 0
        step += 1
        if holds, !isFinal, at > shortest { frames.append(.shorter(step: step, least: shortest, at: at)) }
      case .split(let first, let second):
        holds = !remembers || isNew(step, at, count)
        if holds { frames.append(.resume(step: second, at: at)) }
        step = first
      case .jump(let next):
        holds = !remembers || isNew(step, at, count)
        step = next
      case .again(let loop, let place):
        if places[place] == at {
          step += 1
        } else {
          holds = !remembers || isNew(step, at, count)
          step = loop
        }
      case .save(let place):
        if !frames.isEmpty { frames.append(.place(place, places[place])) }
        places[place] = at
        step += 1
      case .match:
        if at == count { return true }
        holds = false
      case .start, .end, .boundary, .noBoundary:
        holds = holdsPlace(steps[step], text, at, count)
        step += 1
      }
      if !holds {
        guard let (next, place) = back(text) else { return false }
        (step, at) = (next, place)
      }
    }
  }

  /// To where something else can be tried.
  private func back(_ text: Bytes) -> (step: Int, at: Int)? {
    while let frame = frames.popLast() {
      switch frame {
      case .place(let place, let value): places[place] = value
      case .resume(let step, let at): return (step, at)
      case .shorter(let step, let least, let at):
        var at = at - 1
        while at > least, text[at] & 0xC0 == 0x80 { at -= 1 }
        if at > least { frames.append(.shorter(step: step, least: least, at: at)) }
        return (step, at)
      }
    }
    return nil
  }

  /// What can follow a place also depends on whether a repetition has taken nothing yet: it is then the last one.
  @inline(__always)
  private func isNew(_ step: Int, _ at: Int, _ count: Int) -> Bool {
    var bit = (step * (count + 1) + at) * bitsPerState
    if bitsPerState > 1, places[(pattern.names.count * 2)...].contains(at) { bit += 1 }
    let mask = UInt64(1) << UInt64(bit & 63)
    if tried[bit >> 6] & mask != 0 { return false }
    tried[bit >> 6] |= mask
    return true
  }

  /// After the character at `at` if it is of the set; else `at`.
  @inline(__always)
  private func character(_ set: Int, _ text: Bytes, _ at: Int, _ count: Int) -> Int {
    guard at < count else { return at }
    let c = text[at]
    if c < 0x80 { return tables[set &* 128 &+ Int(c)] ? at + 1 : at }
    return other(set, text, at)
  }

  private func other(_ set: Int, _ text: Bytes, _ at: Int) -> Int {
    let c = UInt32(text[at])
    let length = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4
    var scalar = length == 2 ? c & 0x1F : length == 3 ? c & 0x0F : c & 0x07
    for i in 1..<length { scalar = scalar << 6 | UInt32(text[at + i] & 0x3F) }
    return sets[set].others.contains { $0.contains(scalar) } ? at + length : at
  }

  /// Takes as many characters of a set as there are, up to `most`.
  /// - Returns: where it would be after `least` of them; -1: there are fewer.
  private func span(_ set: Int, _ text: Bytes, _ count: Int, _ least: Int, _ most: Int, _ at: inout Int) -> Int {
    var taken = 0
    var shortest = least == 0 ? at : -1
    if least <= 1, most == .max {
      let table = tables + set * 128
      let first = at
      while at < count {
        let c = text[at]
        if c < 0x80 {
          guard table[Int(c)] else { break }
          at += 1
        } else {
          let next = other(set, text, at)
          guard next > at else { break }
          at = next
        }
        if shortest < 0 { shortest = at }
      }
      return at > first || least == 0 ? shortest : -1
    }
    while taken < most {
      let next = character(set, text, at, count)
      guard next > at else { break }
      (at, taken) = (next, taken + 1)
      if taken == least { shortest = at }
    }
    return shortest
  }

  private func holdsPlace(_ step: LinePattern.Step, _ text: Bytes, _ at: Int, _ count: Int) -> Bool {
    func isWord(_ i: Int) -> Bool {
      guard i >= 0, i < count else { return false }
      let c = text[i]
      return c &- 0x30 < 10 || c | 0x20 >= 0x61 && c | 0x20 <= 0x7A || c == 0x5F
    }
    switch step {
    case .start: return at == 0
    case .end: return at == count
    case .boundary: return isWord(at - 1) != isWord(at)
    default: return isWord(at - 1) == isWord(at)
    }
  }
}
