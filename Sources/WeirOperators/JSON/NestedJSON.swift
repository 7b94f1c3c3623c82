import WeirCore

/// Reads the lists, structs and maps of one field from JSON: arrays; objects by their members' names; objects as they are.
///
/// What a struct does not declare is skipped, what its record leaves out is null. As everywhere, of a name that comes twice the last value
/// counts, and a value of another type rejects the record: the reason has the way to it.
final class NestedJSON {
  /// A type in a form that is quick to walk.
  private final class Node {
    enum Kind {
      case bool, int64, double, string, timestamp
      case decimal(scale: Int, limit: UInt128)
      case list, structure, map
    }
    let type: ColumnType
    let kind: Kind
    /// The type of elements or values, or those of members.
    let below: [Node]
    let names: [[UInt8]]
    /// Of structs with many members.
    let byName: [[UInt8]: Int]

    /// Up to this number of names are compared one by one.
    static let fewNames = 8

    init(_ type: ColumnType) {
      self.type = type
      var (below, names): ([Node], [[UInt8]]) = ([], [])
      switch type {
      case .bool: kind = .bool
      case .int64: kind = .int64
      case .double: kind = .double
      case .string, .binary: kind = .string
      case .timestamp: kind = .timestamp
      case .decimal(let precision, let scale): kind = .decimal(scale: scale, limit: FieldValues.powers[precision].magnitude)
      case .list(let element):
        kind = .list
        below = [Node(element)]
      case .map(let value):
        kind = .map
        below = [Node(value)]
      case .structure(let members):
        kind = .structure
        below = members.map { Node($0.type) }
        names = members.map { Array($0.name.utf8) }
      }
      (self.below, self.names) = (below, names)
      byName = names.count > Node.fewNames ? Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first } : [:]
    }

    /// - Parameter guess: the member that is probably next.
    func member(_ name: StringRef, guess: Int) -> Int? {
      func isName(_ number: Int) -> Bool {
        names[number].count == name.count
          && names[number].withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { memoryEqual($0, name.start, name.count) } ?? true
          }
      }
      if guess < names.count, isName(guess) { return guess }
      return byName.isEmpty ? names.indices.first(where: isName) : byName[Array(name.bytes)]
    }
  }

  private let field: String
  private let root: Node
  private let out = NestedBuilder()
  /// Of the current field: strings with escapes, which the builder copies.
  private var escapes: Arena?

  init(_ field: Field) {
    self.field = field.name
    root = Node(field.type)
  }

  /// The value that begins at `scanner.at` and is not null.
  func read(_ scanner: inout JSONScanner, into arena: Arena) throws(DecodeError) -> StringRef {
    out.begin()
    escapes = nil
    try value(root, &scanner)
    guard !out.isFull else { throw tooMany(scanner.at) }
    return out.finish(into: arena)
  }

  private func value(_ node: Node, _ scanner: inout JSONScanner) throws(DecodeError) {
    guard scanner.at < scanner.end else { throw scanner.fail("a value is missing") }
    let c = scanner.at.pointee
    if c == 0x6E {
      try scanner.null()
      return out.null()
    }
    switch node.kind {
    case .string:
      guard c == 0x22 else { throw mismatch(node, &scanner) }
      out.string(try text(&scanner))
    case .bool where c == 0x74:
      try scanner.true()
      out.bool(true)
    case .bool where c == 0x66:
      try scanner.false()
      out.bool(false)
    case .timestamp:
      guard c == 0x22 else { throw mismatch(node, &scanner) }
      let start = scanner.at
      let text = try text(&scanner)
      let (value, reason) = FieldValues.timestamp(text.start, text.count)
      guard let value else { throw DecodeError(reason: "\(place): \(reason)", at: start) }
      out.int64(value)
    case .list:
      guard c == 0x5B else { throw mismatch(node, &scanner) }
      try list(node.below[0], &scanner)
    case .structure:
      guard c == 0x7B else { throw mismatch(node, &scanner) }
      try structure(node, &scanner)
    case .map:
      guard c == 0x7B else { throw mismatch(node, &scanner) }
      try map(node.below[0], &scanner)
    case .int64, .double, .decimal:
      guard c == 0x2D || c &- 0x30 < 10 else { throw mismatch(node, &scanner) }
      try number(node, &scanner)
    case .bool: throw mismatch(node, &scanner)
    }
  }

  // MARK: Scalars

  private func text(_ scanner: inout JSONScanner) throws(DecodeError) -> StringRef {
    let text = try scanner.string()
    guard text.hasEscapes else { return StringRef(start: text.start, count: text.count) }
    let arena = escapes ?? Arena(chunkBytes: 1024)
    escapes = arena
    return try JSONScanner.unescape(text, into: arena)
  }

  private func number(_ node: Node, _ scanner: inout JSONScanner) throws(DecodeError) {
    let start = scanner.at
    let number = try scanner.number()
    switch node.kind {
    case .int64:
      guard let value = FieldValues.int64(number) else { throw inexact(number, "not an int64", start) }
      out.int64(value)
    case .double:
      guard let value = FieldValues.double(number) else { throw inexact(number, "beyond the largest double", start) }
      out.double(value)
    case .decimal(let scale, let limit):
      guard let value = FieldValues.exact(number, scale: scale), value.magnitude < limit else {
        throw inexact(number, "not exact as \(node.type.name)", start)
      }
      out.decimal(value)
    default: preconditionFailure("a number for \(node.type.name)")
    }
  }

  // MARK: Lists, structs, maps

  /// Steps over the opening bracket.
  /// - Returns: false: nothing is in it, and its end was stepped over too.
  private func opens(_ scanner: inout JSONScanner, until end: UInt8) -> Bool {
    scanner.at += 1
    scanner.space()
    guard scanner.at < scanner.end, scanner.at.pointee == end else { return true }
    scanner.at += 1
    return false
  }

  /// Steps over a comma, or over the end.
  /// - Returns: whether more follows.
  private func goesOn(_ scanner: inout JSONScanner, until end: UInt8) throws(DecodeError) -> Bool {
    guard !out.isFull else { throw tooMany(scanner.at) }
    scanner.space()
    guard scanner.at < scanner.end else { throw scanner.fail("the record is cut off") }
    let c = scanner.at.pointee
    guard c == 0x2C || c == end else { throw scanner.fail(end == 0x5D ? "',' or ']' expected" : "',' or '}' expected") }
    scanner.at += 1
    scanner.space()
    return c == 0x2C
  }

  private func list(_ element: Node, _ scanner: inout JSONScanner) throws(DecodeError) {
    out.beginList()
    if opens(&scanner, until: 0x5D) {
      repeat {
        out.element()
        try value(element, &scanner)
      } while try goesOn(&scanner, until: 0x5D)
    }
    out.endList()
  }

  /// A member's name and its colon.
  private func name(_ scanner: inout JSONScanner) throws(DecodeError) -> JSONScanner.Text {
    guard scanner.at < scanner.end, scanner.at.pointee == 0x22 else { throw scanner.fail("a member name expected") }
    let name = try scanner.string()
    scanner.space()
    guard scanner.at < scanner.end, scanner.at.pointee == 0x3A else { throw scanner.fail("':' expected") }
    scanner.at += 1
    scanner.space()
    return name
  }

  private func structure(_ node: Node, _ scanner: inout JSONScanner) throws(DecodeError) {
    out.beginStruct(members: node.below.count)
    if opens(&scanner, until: 0x7D) {
      var guess = 0
      repeat {
        let text = try name(&scanner)
        if let member = member(text, of: node, guess) {
          guess = member + 1
          out.member(member)
          try value(node.below[member], &scanner)
        } else {
          try scanner.skipValue()
        }
      } while try goesOn(&scanner, until: 0x7D)
    }
    out.endStruct(members: node.below.count)
  }

  private func member(_ text: JSONScanner.Text, of node: Node, _ guess: Int) -> Int? {
    guard text.hasEscapes else { return node.member(StringRef(start: text.start, count: text.count), guess: guess) }
    let arena = Arena(chunkBytes: 64)
    // A name with a lone surrogate matches no member.
    guard let name = try? JSONScanner.unescape(text, into: arena) else { return nil }
    return withExtendedLifetime(arena) { node.member(name, guess: guess) }
  }

  private func map(_ node: Node, _ scanner: inout JSONScanner) throws(DecodeError) {
    out.beginMap()
    if opens(&scanner, until: 0x7D) {
      repeat {
        let text = try name(&scanner)
        var key = StringRef(start: text.start, count: text.count)
        if text.hasEscapes {
          let arena = escapes ?? Arena(chunkBytes: 1024)
          escapes = arena
          key = try JSONScanner.unescape(text, into: arena)
        }
        out.key(key)
        try value(node, &scanner)
      } while try goesOn(&scanner, until: 0x7D)
    }
    out.endMap()
  }

  // MARK: Errors

  private var place: String { "field \(field)\(out.path(in: root.type))" }

  private func tooMany(_ at: UnsafePointer<UInt8>) -> DecodeError {
    DecodeError(reason: "field \(field): more than \(NestedBuilder.valuesMax) values in a record (nested_values)", at: at)
  }

  private func inexact(_ number: JSONScanner.Number, _ why: String, _ at: UnsafePointer<UInt8>) -> DecodeError {
    let text = String(decoding: UnsafeBufferPointer(start: number.start, count: min(number.count, 40)), as: UTF8.self)
    return DecodeError(reason: "\(place): \(text) is \(why)", at: at)
  }

  /// Broken JSON is reported as such.
  private func mismatch(_ node: Node, _ scanner: inout JSONScanner) -> DecodeError {
    let start = scanner.at
    do { try scanner.skipValue() } catch { return error }
    let kind = FieldSink.kind(start.pointee)
    let expected = node.type == .timestamp ? "a timestamp string" : node.type.name.shortened(toBytes: 200)
    return DecodeError(reason: "\(place): expected \(expected), found \(kind)", at: start)
  }
}
