/// Where damaged text among JSON values ends: a function of the bytes alone.
///
/// The text ends at the first of these:
/// - a line that begins as the damaged one does: with as much white space, and a brace;
/// - after the mistake, the bracket that closes the first one, if what may follow a value follows it;
/// - after the mistake, outside of arrays: an object that is whole and has members, if another one or the end of the file follows it;
/// - of text without a bracket: the end of the line, in an array also a comma or bracket, and any whole object with members;
/// - the end of the file.
struct JSONDamage {
  typealias Bytes = UnsafePointer<UInt8>

  /// Bytes that objects which turn out not to be whole may cost, beyond ``triesPerByte`` for each byte of the damage.
  private static let triesMin = 64 << 10
  private static let triesPerByte = 8

  let start: Bytes
  /// Where it is no JSON.
  let wrong: Bytes
  let end: Bytes
  /// The file ends at `end`.
  let isEnd: Bool
  let isInArray: Bool
  /// White space before `start` in its line; nil: there is other text, or it is not known.
  let column: Int?

  /// - Parameters:
  ///   - last: the end of the record before; nothing but separators between them.
  ///   - beginsFile: `last` is a file's beginning.
  static func column(of start: Bytes, after last: Bytes, beginsFile: Bool) -> Int? {
    var at = start
    while at > last, at[-1] == 0x20 || at[-1] == 0x09 || at[-1] == 0x0D { at -= 1 }
    return at > last ? (at[-1] == 0x0A ? start - at : nil) : (beginsFile ? start - at : nil)
  }

  private enum Verdict { case ends, continues, unknown }

  /// nil: more bytes must be known.
  var recordEnd: Bytes? {
    let hasBrackets = start.pointee == 0x7B || start.pointee == 0x5B
    var (at, depth, isInString, tried) = (start, 0, false, 0)
    while at < end {
      let c = at.pointee
      if c == 0x0A {
        if !hasBrackets, at > start { return trimmed(at) }
        isInString = false
        switch lineBegins(at + 1) {
        case .ends: return trimmed(at)
        case .unknown: return nil
        case .continues: break
        }
      } else if isInString {
        if c == 0x5C, at + 1 < end, at[1] != 0x0A { at += 1 } else if c == 0x22 { isInString = false }
      } else if c == 0x22 {
        isInString = true
      } else if c == 0x7B || c == 0x5B {
        depth += 1
      } else if c == 0x7D || c == 0x5D {
        depth -= 1
      }
      if at >= wrong, at > start {
        if !hasBrackets, isInArray, c == 0x2C || c == 0x5D { return trimmed(at) }
        if c == 0x7B {
          switch objectBegins(at, hasBrackets: hasBrackets, &tried) {
          case .ends: return trimmed(at)
          case .unknown: return nil
          case .continues: break
          }
        }
        if hasBrackets, !isInString, depth <= 0, c == 0x7D || c == 0x5D {
          switch valueEnds(at + 1) {
          case .ends: return at + 1
          case .unknown: return nil
          case .continues: break
          }
        }
      } else if at == start, !hasBrackets, isInArray, c == 0x2C {
        // An element is missing.
        return start + 1
      }
      at += 1
    }
    return isEnd ? trimmed(end) : nil
  }

  /// Without the white space before it.
  private func trimmed(_ stop: Bytes) -> Bytes {
    var at = min(stop, end)
    while at > start + 1, at[-1] == 0x20 || at[-1] == 0x09 || at[-1] == 0x0D || at[-1] == 0x0A { at -= 1 }
    return at
  }

  private func lineBegins(_ line: Bytes) -> Verdict {
    guard let column else { return .continues }
    guard end - line > column else { return isEnd ? .continues : .unknown }
    for i in 0..<column where line[i] != 0x20 && line[i] != 0x09 { return .continues }
    return line[column] == 0x7B ? .ends : .continues
  }

  /// After a bracket that closes the first one.
  private func valueEnds(_ after: Bytes) -> Verdict {
    var scanner = JSONScanner(at: after, end: end)
    scanner.space()
    guard scanner.at < end else { return isEnd ? .ends : .unknown }
    let c = scanner.at.pointee
    if isInArray { return c == 0x2C || c == 0x5D ? .ends : .continues }
    let hasLineEnd = UnsafeBufferPointer(start: after, count: scanner.at - after).contains(0x0A)
    return c == 0x7B || c == 0x5B || hasLineEnd ? .ends : .continues
  }

  /// Whether a value of its own begins at a brace.
  private func objectBegins(_ at: Bytes, hasBrackets: Bool, _ tried: inout Int) -> Verdict {
    if isInArray, hasBrackets { return .continues }
    guard tried <= JSONDamage.triesMin + JSONDamage.triesPerByte * (at - start) else { return .continues }
    var scanner = JSONScanner(at: at, end: end)
    do {
      try scanner.skipValue()
    } catch {
      if !isEnd, scanner.isCutOff(error) { return .unknown }
      tried += max(error.at - at, scanner.at - at)
      return .continues
    }
    tried += scanner.at - at
    // `{}` may be a part of a text.
    guard UnsafeBufferPointer(start: at, count: scanner.at - at).contains(0x22) else { return .continues }
    if !hasBrackets { return .ends }
    scanner.space()
    guard scanner.at < end else { return isEnd ? .ends : .unknown }
    return scanner.at.pointee == 0x7B ? .ends : .continues
  }
}
