/// One step of the way to a field within a record.
public enum PathStep: Hashable, Sendable, Codable {
  /// A member of an object.
  case name(String)
  /// An element of an array, from 0.
  case index(Int)

  /// A number is an index, a text a name.
  public init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if let index = try? value.decode(Int.self) { self = .index(index) } else { self = .name(try value.decode(String.self)) }
  }

  public func encode(to encoder: any Encoder) throws {
    var value = encoder.singleValueContainer()
    switch self {
    case .name(let name): try value.encode(name)
    case .index(let index): try value.encode(index)
    }
  }
}

/// The text of a field's path: `address.city`, `items[0].id`, `"a.b".c`.
///
/// Names with dots between them and `[n]` for an element of an array. A name with a dot, a bracket, a slash, a quote, white space or an
/// invisible character is in double quotes, and so are `$` and a name of digits only; a quote in a name is doubled. A path begins with a
/// name. What other languages write (`$.a`, `a/b`, `a.0`) would be read as names, and the field would always be null: it is refused.
public enum FieldPath {
  /// Steps of a path.
  public static let stepsMax = 32
  /// Bytes of a path's text.
  public static let bytesMax = 1024
  /// The largest index.
  public static let indexMax = 9999

  /// Why a text is not a path.
  public struct Fault: Error, Sendable {
    public var reason: String
    /// UTF-8 byte offset in the text.
    public var offset: Int
  }

  public static func text(_ path: [PathStep]) -> String {
    var out = ""
    for step in path {
      switch step {
      case .index(let index): out += "[\(index)]"
      case .name(let name): out += (out.isEmpty ? "" : ".") + quoted(name)
      }
    }
    return out
  }

  private static func quoted(_ name: String) -> String {
    if !name.isEmpty, name.utf8.allSatisfy(isPlain), reason(againstBare: name, after: "") == nil { return name }
    return "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }

  private static func isPlain(_ c: UInt8) -> Bool {
    c > 0x20 && c != 0x7F && c != UInt8(ascii: ".") && c != UInt8(ascii: "[") && c != UInt8(ascii: "]") && c != UInt8(ascii: "\"")
  }

  /// Why a name must be in quotes; nil: it need not.
  /// - Parameter before: the path's text up to the name.
  private static func reason(againstBare name: String, after before: String) -> String? {
    let quoted = "\"\(name)\""
    if name == "$" || before.isEmpty && name == "#" {
      return "a path begins with the name of a member, without \(name); write \(quoted) for a member of that name"
    }
    if name.utf8.contains(UInt8(ascii: "/")) {
      let dotted = name.split(separator: "/").filter { $0 != "#" && $0 != "$" }.joined(separator: ".")
      return "steps are separated by dots: \(before)\(dotted); write \(before)\(quoted) for a member of that name"
    }
    if let reason = foreign(name, after: before) { return reason }
    if name.utf8.allSatisfy({ $0 &- 0x30 < 10 }) {
      let element = before.hasSuffix(".") ? "write \(before.dropLast())[\(name)] for an element of an array, " : "write "
      return "\(element)\(before)\(quoted) for a member of that name"
    }
    return Printable.invisible(in: name).map {
      "the name has the invisible character \(Printable.name(of: $0)): delete it, or put the name in quotes"
    }
  }

  /// Why a name is probably not one, but what another language writes in its paths.
  private static func foreign(_ name: String, after before: String) -> String? {
    let quoted = "\"\(name)\""
    func instead(_ advice: String) -> String { "\(advice); write \(before)\(quoted) for a member of that name" }
    if name == "*" { return instead("a path names one place, and no * for several: declare the list or map itself") }
    if name == "@", before.isEmpty { return instead("a path begins with the name of a member, without @") }
    for quote in ["'", "`"] where name.count > 1 && name.hasPrefix(quote) && name.hasSuffix(quote) {
      return instead("names are quoted with double quotes: \(before)\"\(name.dropFirst().dropLast())\"")
    }
    if name.contains("->") {
      let steps = name.split { $0 == "-" || $0 == ">" }.map { $0.filter { $0 != "'" } }.joined(separator: ".")
      return instead("steps are separated by dots: \(before)\(steps)")
    }
    if name.hasSuffix("()") { return instead("a path calls no functions") }
    return nil
  }

  public static func parse(_ text: String) throws(Fault) -> [PathStep] {
    guard text.utf8.count <= bytesMax else { throw Fault(reason: "it has more than \(bytesMax) bytes", offset: 0) }
    var reader = Reader(bytes: Array(text.utf8))
    var steps: [PathStep] = [.name(try reader.name())]
    while !reader.isAtEnd {
      guard steps.count < stepsMax else { throw Fault(reason: "it has more than \(stepsMax) steps", offset: reader.at) }
      steps.append(try reader.step())
    }
    return steps
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { at == bytes.count }

    mutating func step() throws(Fault) -> PathStep {
      if bytes[at] == UInt8(ascii: "[") { return .index(try index()) }
      guard bytes[at] == UInt8(ascii: ".") else { throw Fault(reason: "a dot or [ is expected", offset: at) }
      at += 1
      return .name(try name())
    }

    mutating func name() throws(Fault) -> String {
      let start = at
      if at < bytes.count, bytes[at] == UInt8(ascii: "\"") { return try quotedName() }
      while at < bytes.count, FieldPath.isPlain(bytes[at]) { at += 1 }
      guard at > start else {
        let isBetween = at > 0 && at < bytes.count && bytes[at] == UInt8(ascii: ".")
        throw Fault(reason: isBetween ? "a name is expected between two dots" : "a name is expected", offset: at)
      }
      let name = String(decoding: bytes[start..<at], as: UTF8.self)
      let before = String(decoding: bytes[..<start], as: UTF8.self)
      if let reason = FieldPath.reason(againstBare: name, after: before) { throw Fault(reason: reason, offset: start) }
      return name
    }

    private mutating func quotedName() throws(Fault) -> String {
      let start = at
      var out: [UInt8] = []
      at += 1
      while at < bytes.count {
        if bytes[at] == UInt8(ascii: "\"") {
          at += 1
          guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { return String(decoding: out, as: UTF8.self) }
        }
        out.append(bytes[at])
        at += 1
      }
      throw Fault(reason: "a quoted name does not end", offset: start)
    }

    /// What to write instead of what is in the brackets.
    private func advice(at first: Int) -> String {
      let inside = bytes[first...].prefix { $0 != UInt8(ascii: "]") }
      guard inside.endIndex < bytes.count else { return ": the bracket does not end" }
      let before = String(decoding: bytes[..<(first - 1)], as: UTF8.self)
      switch inside.first {
      case nil, UInt8(ascii: "*"): return ": for each element, declare the list itself, such as list<string>, and explode it"
      case UInt8(ascii: "-"): return ": elements are counted from the first one, which is [0]"
      case UInt8(ascii: "'"), UInt8(ascii: "\""):
        return ": for a member write \(before).\(FieldPath.text([.name(String(decoding: inside.dropFirst().dropLast(), as: UTF8.self))]))"
      default: return ""
      }
    }

    private mutating func index() throws(Fault) -> Int {
      let start = at
      at += 1
      let first = at
      while at < bytes.count, bytes[at] &- 0x30 < 10 { at += 1 }
      let digits = String(decoding: bytes[first..<at], as: UTF8.self)
      guard at < bytes.count, bytes[at] == UInt8(ascii: "]"), let index = Int(digits), index <= indexMax else {
        throw Fault(reason: "[n] needs a number from 0 to \(indexMax)\(advice(at: first))", offset: start)
      }
      at += 1
      return index
    }
  }
}
