/// A regular expression with named groups that matches a whole line, compiled.
///
/// Time is linear in the line: no pattern makes a line costly. So there are no back references and no looks ahead or back.
package struct LinePattern: Sendable {
  /// Bytes of a pattern, after grok was resolved.
  package static let bytesMax = 16 << 10
  /// Steps of the program that it becomes, with repetitions written out.
  package static let stepsMax = 8000
  /// Named groups.
  package static let groupsMax = 200

  enum Step: Sendable {
    case byte(UInt8)
    /// One character of a set.
    case set(Int)
    /// As many of a set as there are. `isFinal`: none is given back, since what follows begins with none of the set.
    case span(Int, least: Int, most: Int, isFinal: Bool)
    /// Either, the first if both can be.
    case split(Int, Int)
    case jump(Int)
    /// To the beginning of a repetition, unless nothing was taken since the place had its value: then on.
    case again(Int, place: Int)
    /// The place is a group's start (even) or end; after those of all groups, where repetitions began.
    case save(Int)
    case start, end, boundary, noBoundary
    case match
  }

  /// Names of groups, in order.
  package let names: [String]
  let sets: [PatternSet]
  /// With spans.
  let fast: [Step]
  /// The same language, with one character a step: for lines on which the other tries too much.
  let plain: [Step]
  /// Of ``Step/save(_:)``.
  let placeCount: Int

  package init(_ text: String) throws(PatternFault) {
    guard text.utf8.count <= LinePattern.bytesMax else {
      throw PatternFault(reason: "it has more than \(LinePattern.bytesMax) bytes (pattern_bytes)", offset: 0)
    }
    var reader = PatternReader(Array(text.utf8))
    let tree = try reader.read()
    names = reader.names
    var fast = PatternCompiler(usesSpans: true, groups: names.count)
    try fast.compile(tree)
    // Both programs name sets by their places in one list.
    var plain = PatternCompiler(usesSpans: false, groups: names.count, sets: fast.sets)
    try plain.compile(tree)
    fast.finishSpans()
    sets = plain.sets
    placeCount = max(fast.placeCount, plain.placeCount)
    (self.fast, self.plain) = (fast.steps, plain.steps)
  }
}

/// From a tree to steps.
struct PatternCompiler {
  typealias Step = LinePattern.Step

  let usesSpans: Bool
  private(set) var steps: [Step] = []
  private(set) var sets: [PatternSet]
  private(set) var placeCount: Int

  /// - Parameters:
  ///   - groups: named ones.
  ///   - sets: of another program of the same pattern; this one adds its own.
  init(usesSpans: Bool, groups: Int, sets: [PatternSet] = []) { (self.usesSpans, self.sets, placeCount) = (usesSpans, sets, groups * 2) }

  mutating func compile(_ tree: PatternNode) throws(PatternFault) {
    try add(tree)
    try emit(.match)
  }

  private mutating func emit(_ step: Step) throws(PatternFault) {
    guard steps.count < LinePattern.stepsMax else {
      throw PatternFault(reason: "with its repetitions it has more than \(LinePattern.stepsMax) steps (pattern_steps)", offset: 0)
    }
    steps.append(step)
  }

  private mutating func place(of set: PatternSet) -> Int {
    if let place = sets.firstIndex(of: set) { return place }
    sets.append(set)
    return sets.count - 1
  }

  private mutating func add(_ node: PatternNode) throws(PatternFault) {
    switch node {
    case .empty: return
    case .byte(let byte): try emit(.byte(byte))
    case .set(let set): try emit(.set(place(of: set)))
    case .all(let parts): for part in parts { try add(part) }
    case .any(let parts): try alternatives(parts)
    case .times(let part, let least, let most, let isGreedy): try times(part, least, most, isGreedy)
    case .group(let number, let part):
      try emit(.save(number * 2))
      try add(part)
      try emit(.save(number * 2 + 1))
    case .start: try emit(.start)
    case .end: try emit(.end)
    case .boundary: try emit(.boundary)
    case .noBoundary: try emit(.noBoundary)
    }
  }

  private mutating func alternatives(_ parts: [PatternNode]) throws(PatternFault) {
    var ends: [Int] = []
    for (i, part) in parts.enumerated() {
      let isLast = i == parts.count - 1
      let split = steps.count
      if !isLast { try emit(.split(split + 1, 0)) }
      try add(part)
      if !isLast {
        ends.append(steps.count)
        try emit(.jump(0))
        steps[split] = .split(split + 1, steps.count)
      }
    }
    for end in ends { steps[end] = .jump(steps.count) }
  }

  private mutating func times(_ part: PatternNode, _ least: Int, _ most: Int?, _ isGreedy: Bool) throws(PatternFault) {
    if usesSpans, isGreedy, let set = single(part) {
      return try emit(.span(place(of: set), least: least, most: most ?? .max, isFinal: false))
    }
    for _ in 0..<least { try add(part) }
    if let most {
      var splits: [Int] = []
      for _ in least..<max(least, most) {
        splits.append(steps.count)
        try emit(.split(0, 0))
        try add(part)
      }
      for split in splits { steps[split] = self.split(split + 1, steps.count, isGreedy) }
    } else {
      let loop = steps.count
      try emit(.split(0, 0))
      if part.mayBeEmpty {
        // An empty repetition is taken, as in Perl, and is the last one.
        let place = placeCount
        placeCount += 1
        try emit(.save(place))
        try add(part)
        try emit(.again(loop, place: place))
      } else {
        try add(part)
        try emit(.jump(loop))
      }
      steps[loop] = split(loop + 1, steps.count, isGreedy)
    }
  }

  private func split(_ inner: Int, _ after: Int, _ isGreedy: Bool) -> Step { isGreedy ? .split(inner, after) : .split(after, inner) }

  private func single(_ node: PatternNode) -> PatternSet? {
    switch node {
    case .set(let set): return set
    case .byte(let byte):
      var set = PatternSet()
      set.insert(UInt32(byte)...UInt32(byte))
      return set
    default: return nil
    }
  }

  // MARK: Spans that give nothing back

  mutating func finishSpans() {
    for i in steps.indices {
      guard case .span(let set, let least, let most, _) = steps[i] else { continue }
      var looked = 0
      if isApart(i + 1, from: sets[set], &looked) { steps[i] = .span(set, least: least, most: most, isFinal: true) }
    }
  }

  /// What begins at a step is no character of a set, or the end of the line.
  private func isApart(_ step: Int, from set: PatternSet, _ looked: inout Int) -> Bool {
    looked += 1
    guard looked < 200 else { return false }
    switch steps[step] {
    case .byte(let byte): return !set.hasASCII(byte)
    case .set(let other): return sets[other].isDisjoint(from: set)
    case .span(let other, let least, _, _):
      return sets[other].isDisjoint(from: set) && (least > 0 || isApart(step + 1, from: set, &looked))
    case .split(let a, let b): return isApart(a, from: set, &looked) && isApart(b, from: set, &looked)
    case .jump(let next): return isApart(next, from: set, &looked)
    case .again(let loop, _): return isApart(loop, from: set, &looked) && isApart(step + 1, from: set, &looked)
    case .save: return isApart(step + 1, from: set, &looked)
    case .match: return true
    case .start, .end, .boundary, .noBoundary: return false
    }
  }
}
