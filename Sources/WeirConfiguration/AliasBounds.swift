/// `pipeline_aliases`: how many anchors (`&NAME`) and aliases (`*NAME`) a YAML file has, and how much they stand for. The parser shares what an alias names, but it hashes the keys
/// of a mapping, and a few hundred bytes of aliases to lists of aliases are a key of any size, at any depth.
///
/// Judged before the file is parsed, from above: each `&NAME` and `*NAME` counts, wherever it is, and a value reaches from its anchor to the
/// first alias of it (an alias within its own value is an error). Where the value is one flow collection without quotes, or no collection,
/// its end is exact; so a file that uses aliases for what they are meant for stays far below the bounds.
struct AliasBounds {
  /// Of the file with all aliases written out.
  static let bytesMax = 8 << 20
  static let anchorsMax = 200
  static let aliasesMax = 10_000
  /// Values with aliases to values with aliases, and so on. Each may have as many levels of its own as the parser allows (1000), and
  /// every level is a call within a call of the hash: more of them overflow the stack of a thread.
  static let levelsMax = 2

  private struct Anchor {
    /// Bytes written out, before the anchor.
    var start: Int
    /// Nil until its value ends.
    var size: Int?
    /// Aliases within aliases in its value, so far.
    var level = 0
    /// There are several of this name: its value may reach from the first to any alias.
    var isShadowed = false
    /// Byte at which the value ends, where that can be seen.
    var end: Int?
  }

  private let bytes: [UInt8]
  private var anchors: [ArraySlice<UInt8>: Anchor] = [:]
  /// Names of anchors whose value has not ended yet.
  private var open: Set<ArraySlice<UInt8>> = []
  /// Bytes so far, aliases written out.
  private var written = 0
  private var anchorCount = 0
  private var aliasCount = 0
  /// The largest of all aliases.
  private var level = 0

  private init(_ text: String) { bytes = Array(text.utf8) }

  /// The line, from 1, at which the aliases are too large; nil: they are not.
  static func firstTooLarge(_ text: String) -> Int? {
    guard text.utf8.contains(UInt8(ascii: "*")), text.utf8.contains(UInt8(ascii: "&")) else { return nil }
    var bounds = AliasBounds(text)
    guard let at = bounds.firstTooLarge() else { return nil }
    return 1 + bounds.bytes[..<at].count { $0 == 0x0A }
  }

  private mutating func firstTooLarge() -> Int? {
    var at = 0
    while at < bytes.count {
      let c = bytes[at]
      written += 1
      at += 1
      guard c == UInt8(ascii: "&") || c == UInt8(ascii: "*") else { continue }
      let name = bytes[at...].prefix(while: AliasBounds.isOfName)
      guard !name.isEmpty else { continue }
      close(before: at - 1)
      if c == UInt8(ascii: "&") { define(name) } else { use(name) }
      guard isSmall else { return at }
      written += name.count
      at = name.endIndex
    }
    return nil
  }

  private var isSmall: Bool {
    written <= AliasBounds.bytesMax && anchorCount <= AliasBounds.anchorsMax && aliasCount <= AliasBounds.aliasesMax
      && level <= AliasBounds.levelsMax
  }

  private mutating func define(_ name: ArraySlice<UInt8>) {
    anchorCount += 1
    if anchors[name] != nil {
      anchors[name]?.isShadowed = true
      anchors[name]?.size = nil
    } else {
      anchors[name] = Anchor(start: written, end: end(from: name.endIndex))
    }
    open.insert(name)
  }

  /// Ends the values of which it can be seen that they end before a byte.
  private mutating func close(before at: Int) {
    for name in open {
      guard let anchor = anchors[name], !anchor.isShadowed, let end = anchor.end, end <= at else { continue }
      // There are no aliases in between.
      close(name, at: written - (at - end))
    }
  }

  private mutating func close(_ name: ArraySlice<UInt8>, at written: Int) {
    guard let anchor = anchors[name] else { return }
    anchors[name]?.size = max(0, written - anchor.start)
    open.remove(name)
  }

  private mutating func use(_ name: ArraySlice<UInt8>) {
    // An alias of nothing is an error of the parser.
    guard let found = anchors[name] else { return }
    aliasCount += 1
    if !found.isShadowed, open.contains(name) { close(name, at: written) }
    let level = (anchors[name]?.level ?? 0) + 1
    for other in open where (anchors[other]?.level ?? 0) < level { anchors[other]?.level = level }
    self.level = max(self.level, level)
    written += anchors[name]?.size ?? written - found.start
  }

  /// Where the value after an anchor ends; nil: not clear.
  private func end(from start: Int) -> Int? {
    var at = start
    while at < bytes.count, bytes[at] == 0x20 { at += 1 }
    guard at < bytes.count else { return bytes.count }
    // A plain scalar, or one that is a key: there is no alias in it.
    if AliasBounds.isOfName(bytes[at]) { return at }
    guard bytes[at] == UInt8(ascii: "{") || bytes[at] == UInt8(ascii: "[") else { return nil }
    var depth = 0
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
      // In quotes, comments and tags (`!<a]>`) brackets are text.
      case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "#"), UInt8(ascii: "!"): return nil
      default: break
      }
      at += 1
      if depth == 0 { return at }
    }
    return nil
  }

  private static func isOfName(_ c: UInt8) -> Bool {
    c &- 0x30 < 10 || c | 0x20 >= 0x61 && c | 0x20 <= 0x7A || c == 0x5F || c == 0x2D
  }
}
