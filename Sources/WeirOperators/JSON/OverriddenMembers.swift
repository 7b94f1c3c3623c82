import WeirCore

/// The values in a record that count for nothing, because a later member of the same object has the same name.
///
/// Only a record that would be rejected for the value of a field is searched for them: its values are judged again without those. So other
/// records cost nothing more, also those that are not JSON, and the decoder needs no table of names.
struct OverriddenMembers {
  /// A record with more members than this in objects that are open at one time is not searched (bounded memory).
  static let membersMax = 262_144

  private typealias Bytes = UnsafePointer<UInt8>

  /// A member's name, without escapes.
  private struct Name: Hashable {
    var text: StringRef

    func hash(into hasher: inout Hasher) { hasher.combine(bytes: UnsafeRawBufferPointer(text.bytes)) }
  }

  /// An object or array whose end has not been read.
  private struct Open {
    var isObject: Bool
    /// The last value of each member.
    var values: [Name: Range<Int>] = [:]
    /// The member that is being read. nil: an element, or a name with a lone surrogate, which names no field.
    var name: Name?
    var valueStart = 0
  }

  private let start: Bytes
  private let count: Int
  /// Ascending, none within another.
  private let values: [Range<Int>]

  /// nil: there are none, or the record is not JSON.
  init?(from start: UnsafePointer<UInt8>, to end: UnsafePointer<UInt8>) {
    (self.start, count) = (start, end - start)
    guard let found = try? OverriddenMembers.search(start, end), !found.isEmpty else { return nil }
    var outer: [Range<Int>] = []
    for range in found.sorted(by: { $0.lowerBound < $1.lowerBound }) where outer.last.map({ $0.upperBound <= range.lowerBound }) ?? true {
      outer.append(range)
    }
    values = outer
  }

  // MARK: The record without them

  /// The record with `null` in the place of each of these values, so that every member keeps its place.
  func record(in arena: Arena) -> (start: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) {
    let null: [UInt8] = [0x6E, 0x75, 0x6C, 0x6C]
    let size = count + values.reduce(0) { $0 + null.count - $1.count }
    let copy = arena.allocate(size + TextBuffer.slack)
    (copy + size).initialize(repeating: 0, count: TextBuffer.slack)
    var (out, at) = (copy, 0)
    for value in values {
      out.initialize(from: start + at, count: value.lowerBound - at)
      out += value.lowerBound - at
      out.initialize(from: null, count: null.count)
      out += null.count
      at = value.upperBound
    }
    out.initialize(from: start + at, count: count - at)
    return (UnsafePointer(copy), UnsafePointer(copy + size))
  }

  /// Where a byte of that record is in the record as received.
  func original(_ offset: Int) -> Int {
    var longer = 0
    for value in values {
      guard offset + longer > value.lowerBound else { break }
      longer += value.count - 4
    }
    return offset + longer
  }

  // MARK: The search

  private static func search(_ start: Bytes, _ end: Bytes) throws(DecodeError) -> [Range<Int>] {
    var scanner = JSONScanner(at: start, end: end)
    var open: [Open] = []
    var found: [Range<Int>] = []
    let names = Arena(chunkBytes: 1024)
    // Members of the objects that are open.
    var members = 0
    scanner.space()
    _ = scanner.byteOrderMark()
    repeat {
      // A value begins here, after white space.
      scanner.space()
      guard scanner.at < end else { throw scanner.fail("the text is cut off within a value") }
      if !open.isEmpty { open[open.count - 1].valueStart = scanner.at - start }
      if scanner.at.pointee == 0x7B || scanner.at.pointee == 0x5B {
        guard open.count < JSONScanner.depthMax else { throw scanner.fail("nested more than \(JSONScanner.depthMax) deep") }
        open.append(Open(isObject: scanner.at.pointee == 0x7B))
        scanner.at += 1
        scanner.space()
        guard scanner.at < end else { throw scanner.fail("the text is cut off within a value") }
        if scanner.at.pointee != (open[open.count - 1].isObject ? 0x7D : 0x5D) {
          if open[open.count - 1].isObject { open[open.count - 1].name = try name(&scanner, names) }
          continue
        }
        scanner.at += 1
        open.removeLast()
      } else {
        try scanner.skipValue()
      }
      // A value ended here, and perhaps the objects and arrays that it was the last of.
      while !open.isEmpty {
        let top = open.count - 1
        if let name = open[top].name {
          let value = open[top].valueStart..<scanner.at - start
          if let earlier = open[top].values.updateValue(value, forKey: name) { found.append(earlier) } else { members += 1 }
          guard members <= membersMax else { throw scanner.fail("more than \(membersMax) members") }
        }
        scanner.space()
        guard scanner.at < end else { throw scanner.fail("the text is cut off within a value") }
        let byte = scanner.at.pointee
        scanner.at += 1
        if byte == 0x2C {
          scanner.space()
          if open[top].isObject { open[top].name = try name(&scanner, names) }
          break
        }
        guard byte == (open[top].isObject ? 0x7D : 0x5D) else { throw scanner.fail("',' or an end expected") }
        members -= open[top].values.count
        open.removeLast()
      }
    } while !open.isEmpty
    return found
  }

  /// A member's name and its colon.
  private static func name(_ scanner: inout JSONScanner, _ arena: Arena) throws(DecodeError) -> Name? {
    guard scanner.at < scanner.end, scanner.at.pointee == 0x22 else { throw scanner.fail("a member name expected") }
    let text = try scanner.string()
    scanner.space()
    guard scanner.at < scanner.end, scanner.at.pointee == 0x3A else { throw scanner.fail("':' expected") }
    scanner.at += 1
    guard text.hasEscapes else { return Name(text: StringRef(start: text.start, count: text.count)) }
    return (try? JSONScanner.unescape(text, into: arena)).map { Name(text: $0) }
  }
}
