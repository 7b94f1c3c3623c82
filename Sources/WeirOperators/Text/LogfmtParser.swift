import WeirCore

/// Lines of `key=value` with white space between them: `level=info msg="it is done" took=1.5`.
///
/// A value with white space, a quote or an equals sign is in double quotes, with the escapes of JSON. A key without a value is `true`.
/// The last of equal keys counts.
struct LogfmtParser: CellParser {
  typealias Bytes = UnsafePointer<UInt8>

  private let names: [[UInt8]]
  private var arena = Arena()
  private static let yes: StaticString = "true"

  init(names: [String]) { self.names = names.map { Array($0.utf8) } }

  var width: Int { names.count }
  mutating func begin(_ arena: Arena, isLines: Bool) { self.arena = arena }

  func parse(_ start: Bytes, _ end: Bytes, _ cells: UnsafeMutablePointer<TextCell>) throws(DecodeError) -> StaticString? {
    if let bad = UTF8Check.firstError(start, end) { throw DecodeError(reason: "ill-formed UTF-8", at: bad) }
    for i in names.indices { cells[i] = .null }
    var at = start
    var pairs = 0
    while true {
      while at < end, LogfmtParser.isSpace(at.pointee) { at += 1 }
      guard at < end else { break }
      let key = at
      while at < end, !LogfmtParser.isSpace(at.pointee), at.pointee != 0x3D, at.pointee != 0x22 { at += 1 }
      guard at > key else { throw DecodeError(reason: "not logfmt: a key is expected", at: at) }
      let name = StringRef(start: key, count: at - key)
      var value = TextCell(start: LogfmtParser.yes.utf8Start, count: 4)
      if at < end, at.pointee == 0x3D {
        pairs += 1
        value = try self.value(&at, end)
      }
      guard at == end || LogfmtParser.isSpace(at.pointee) else {
        throw DecodeError(reason: "not logfmt: white space is expected between a value and the next key", at: at)
      }
      if let place = place(name) { cells[place] = value }
    }
    // Words alone are a sentence.
    guard pairs > 0 else { throw DecodeError(reason: "not logfmt: there is no key=value", at: start) }
    return nil
  }

  private static func isSpace(_ c: UInt8) -> Bool { c == 0x20 || (0x09...0x0D).contains(c) }

  private func place(_ name: StringRef) -> Int? {
    names.firstIndex { key in
      key.count == name.count && key.withUnsafeBufferPointer { memoryEqual($0.baseAddress!, name.start, key.count) }
    }
  }

  private func value(_ at: inout Bytes, _ end: Bytes) throws(DecodeError) -> TextCell {
    at += 1
    guard at < end, at.pointee == 0x22 else {
      let start = at
      while at < end, !LogfmtParser.isSpace(at.pointee) {
        guard at.pointee != 0x22 else { throw DecodeError(reason: "not logfmt: a quote within a value", at: at) }
        at += 1
      }
      return TextCell(start: start, count: at - start)
    }
    var scanner = JSONScanner(at: at, end: end)
    let text: JSONScanner.Text
    do { text = try scanner.string() } catch { throw DecodeError(reason: "not logfmt: \(error.reason)", at: error.at) }
    at = scanner.at
    guard text.hasEscapes else { return TextCell(start: text.start, count: text.count) }
    let plain = try JSONScanner.unescape(text, into: arena)
    return TextCell(start: plain.start, count: plain.count)
  }
}

/// The whole record as one cell.
struct RawParser: CellParser {
  static let keepsAll = true
  let width = 1

  mutating func begin(_ arena: Arena, isLines: Bool) {}

  func parse(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ cells: UnsafeMutablePointer<TextCell>
  ) throws(DecodeError) -> StaticString? {
    if let bad = UTF8Check.firstError(start, end) { throw DecodeError(reason: "ill-formed UTF-8", at: bad) }
    cells[0] = TextCell(start: start, count: end - start)
    return nil
  }
}
