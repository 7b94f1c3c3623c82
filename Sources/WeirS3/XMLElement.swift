import WeirCore

/// An element of a small XML document: its name without the namespace, its text, and the elements in it. Attributes are skipped.
///
/// Reads what S3 answers, and nothing more of XML: no document types, no entities but the predefined ones. Bounded, and broken bytes are
/// nil, never a trap.
struct XMLElement: Sendable, Hashable {
  var name: String
  var text = ""
  var children: [XMLElement] = []

  /// A page of a listing has at most 1,000 keys of 1,024 bytes, each of them as up to three characters.
  static let bytesMax = 16 << 20
  static let depthMax = 16
  static let elementsMax = 100_000

  /// The text of the first element of a name.
  subscript(_ name: String) -> String? { children.first { $0.name == name }?.text }

  func all(_ name: String) -> [XMLElement] { children.filter { $0.name == name } }

  /// The document's element; nil: the bytes are no such document.
  init?(parsing bytes: [UInt8]) {
    guard bytes.count <= XMLElement.bytesMax, let element = bytes.withUnsafeBufferPointer({ XMLElement.parsed($0) }) else { return nil }
    self = element
  }

  private init(name: String) { self.name = name }

  private static func parsed(_ bytes: UnsafeBufferPointer<UInt8>) -> XMLElement? {
    var reader = XMLReader(bytes)
    // Elements that are open, the document's first.
    var open: [XMLElement] = []
    var count = 0
    while let token = reader.next() {
      switch token {
      case .text(let text):
        if open.isEmpty { continue }
        open[open.count - 1].text += text
      case .start(let name, let isEmpty):
        count += 1
        guard count <= elementsMax, open.count < depthMax else { return nil }
        guard isEmpty else {
          open.append(XMLElement(name: name))
          continue
        }
        if open.isEmpty { return XMLElement(name: name) }
        open[open.count - 1].children.append(XMLElement(name: name))
      case .end(let name):
        guard let last = open.popLast(), last.name == name else { return nil }
        if open.isEmpty { return last }
        open[open.count - 1].children.append(last)
      }
    }
    return nil
  }

  /// Text as the content of an element.
  static func escaped(_ text: String) -> String {
    var out = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "\"": out += "&quot;"
      default: out.unicodeScalars.append(character)
      }
    }
    return out
  }
}

/// Splits a document into tags and texts.
private struct XMLReader {
  enum Token {
    case start(String, isEmpty: Bool)
    case end(String)
    case text(String)
  }

  private let bytes: UnsafeBufferPointer<UInt8>
  private var at = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  /// nil at the end, and at what is not well-formed.
  mutating func next() -> Token? {
    while at < bytes.count {
      guard bytes[at] == UInt8(ascii: "<") else { return text() }
      if starts("<?") {
        guard skip(past: "?>") else { return nil }
      } else if starts("<!--") {
        guard skip(past: "-->") else { return nil }
      } else if starts("<![CDATA[") {
        let start = at + 9
        guard skip(past: "]]>") else { return nil }
        return string(start..<max(start, at - 3)).map { .text($0) }
      } else {
        return tag()
      }
    }
    return nil
  }

  private func starts(_ word: StaticString) -> Bool {
    word.withUTF8Buffer { at + $0.count <= bytes.count && bytes[at..<at + $0.count].elementsEqual($0) }
  }

  private mutating func skip(past word: StaticString) -> Bool {
    while at < bytes.count {
      if starts(word) {
        at += word.utf8CodeUnitCount
        return true
      }
      at += 1
    }
    return false
  }

  private func string(_ range: Range<Int>) -> String? { String(validating: bytes[range], as: UTF8.self) }

  private mutating func tag() -> Token? {
    let start = at + 1
    var quote: UInt8?
    while at < bytes.count, bytes[at] != UInt8(ascii: ">") || quote != nil {
      let byte = bytes[at]
      if quote == byte { quote = nil } else if quote == nil, byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { quote = byte }
      at += 1
    }
    guard at < bytes.count else { return nil }
    var end = at
    at += 1
    let isEnd = start < end && bytes[start] == UInt8(ascii: "/")
    let isEmpty = !isEnd && end - 1 > start && bytes[end - 1] == UInt8(ascii: "/")
    if isEmpty { end -= 1 }
    let first = isEnd ? start + 1 : start
    guard first < end else { return nil }
    let name = bytes[first..<end].prefix { $0 > 0x20 }
    // Without the namespace's prefix.
    let local = name.lastIndex(of: UInt8(ascii: ":")).map { name[($0 + 1)...] } ?? name
    guard !local.isEmpty, local[local.startIndex] != UInt8(ascii: "!"), let text = String(validating: local, as: UTF8.self) else {
      return nil
    }
    return isEnd ? .end(text) : .start(text, isEmpty: isEmpty)
  }

  private mutating func text() -> Token? {
    var out: [UInt8] = []
    while at < bytes.count, bytes[at] != UInt8(ascii: "<") {
      if bytes[at] == UInt8(ascii: "&") {
        guard let scalar = entity() else { return nil }
        out += String(Character(scalar)).utf8
      } else {
        out.append(bytes[at])
        at += 1
      }
    }
    return String(validating: out, as: UTF8.self).map { .text($0) }
  }

  /// `&amp;`, `&#38;`, `&#x26;`
  private mutating func entity() -> Unicode.Scalar? {
    let start = at + 1
    guard let end = bytes[start...].prefix(12).firstIndex(of: UInt8(ascii: ";")), let name = string(start..<end) else { return nil }
    at = end + 1
    switch name {
    case "amp": return "&"
    case "lt": return "<"
    case "gt": return ">"
    case "quot": return "\""
    case "apos": return "'"
    default:
      guard name.hasPrefix("#") else { return nil }
      let digits = name.dropFirst()
      let value = digits.hasPrefix("x") ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits)
      return value.flatMap { Unicode.Scalar($0) }
    }
  }
}
