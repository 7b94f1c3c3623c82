import WeirCore

/// Where fields are in a record, as a tree of its members: made once, and read for each record whose fields have paths.
///
/// A *target* says what a member or element is: a field (0 and up), nothing (-1), or a node with members or elements that are
/// (-2 and down). Nodes are plain memory: reading them costs no reference count.
final class NestedFields {
  struct Name {
    var start: UnsafeMutablePointer<UInt8>
    var count: Int
    var target: Int
  }

  struct Element {
    var index: Int
    var target: Int
  }

  struct Node {
    var names: UnsafeMutableBufferPointer<Name>
    /// Ascending.
    var elements: UnsafeMutableBufferPointer<Element>
    /// All fields below.
    var fields: UnsafeMutableBufferPointer<Int>
    /// Of ``names`` by hash, the place + 1 or 0; empty where there are few.
    var slots: UnsafeMutableBufferPointer<Int32>
    /// The name that came next in the record before.
    var guess = 0
  }

  let nodes: UnsafeMutableBufferPointer<Node>
  /// Of the record itself.
  let members: [(name: [UInt8], target: Int)]

  /// Up to this number of names are compared one by one.
  private static let fewNames = 8

  static func target(ofNode node: Int) -> Int { -2 - node }
  @inline(__always) static func node(ofTarget target: Int) -> Int { -2 - target }

  /// Before it is laid out.
  private final class Draft {
    var field: Int?
    var names: [(name: [UInt8], draft: Draft)] = []
    var byName: [[UInt8]: Draft] = [:]
    var elements: [Int: Draft] = [:]
    var fields: [Int] = []

    func below(_ step: PathStep) -> Draft {
      switch step {
      case .index(let index):
        let draft = elements[index] ?? Draft()
        elements[index] = draft
        return draft
      case .name(let name):
        let bytes = Array(name.utf8)
        if let known = byName[bytes] { return known }
        let draft = Draft()
        byName[bytes] = draft
        names.append((bytes, draft))
        return draft
      }
    }
  }

  /// - Precondition: no field is below another.
  init(_ fields: [Field]) {
    let root = Draft()
    for (number, field) in fields.enumerated() where field.encoding != .rescued {
      var place = root
      for step in field.steps {
        place.fields.append(number)
        place = place.below(step)
      }
      place.field = number
    }
    var made: [Node] = []
    func target(_ draft: Draft) -> Int {
      if let field = draft.field { return field }
      let names = draft.names.map { Name(start: NestedFields.copy($0.name), count: $0.name.count, target: target($0.draft)) }
      let elements = draft.elements.sorted { $0.key < $1.key }.map { Element(index: $0.key, target: target($0.value)) }
      made.append(
        Node(
          names: NestedFields.copy(names), elements: NestedFields.copy(elements), fields: NestedFields.copy(draft.fields),
          slots: NestedFields.slots(draft.names.map(\.name))))
      return NestedFields.target(ofNode: made.count - 1)
    }
    members = root.names.map { ($0.name, target($0.draft)) }
    nodes = NestedFields.copy(made)
  }

  deinit {
    for node in nodes {
      for name in node.names { name.start.deallocate() }
      node.names.deallocate()
      node.elements.deallocate()
      node.fields.deallocate()
      node.slots.deallocate()
    }
    nodes.deallocate()
  }

  private static func copy(_ bytes: [UInt8]) -> UnsafeMutablePointer<UInt8> {
    let start = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
    start.initialize(from: bytes, count: bytes.count)
    return start
  }

  private static func copy<T: BitwiseCopyable>(_ items: [T]) -> UnsafeMutableBufferPointer<T> {
    let buffer = UnsafeMutableBufferPointer<T>.allocate(capacity: items.count)
    _ = buffer.initialize(from: items)
    return buffer
  }

  private static func slots(_ names: [[UInt8]]) -> UnsafeMutableBufferPointer<Int32> {
    guard names.count > fewNames else { return copy([]) }
    var size = 32
    while size < names.count * 2 { size *= 2 }
    var slots = [Int32](repeating: 0, count: size)
    for (i, name) in names.enumerated() {
      var at = name.withUnsafeBufferPointer {
        Int(truncatingIfNeeded: Hash128(StringRef(start: $0.baseAddress ?? StringRef.empty.start, count: $0.count)).low) & (size - 1)
      }
      while slots[at] != 0 { at = (at + 1) & (size - 1) }
      slots[at] = Int32(i + 1)
    }
    return copy(slots)
  }

  // MARK: Reading

  /// The target of a member of a node.
  func target(_ name: StringRef, in number: Int) -> Int {
    let node = nodes.baseAddress! + number
    let names = node.pointee.names
    let guess = node.pointee.guess
    if guess < names.count, NestedFields.isEqual(names[guess], name) {
      node.pointee.guess = guess + 1
      return names[guess].target
    }
    let slots = node.pointee.slots
    if slots.isEmpty {
      for i in 0..<names.count where NestedFields.isEqual(names[i], name) {
        node.pointee.guess = i + 1
        return names[i].target
      }
      return -1
    }
    var at = Int(truncatingIfNeeded: Hash128(name).low) & (slots.count - 1)
    while slots[at] != 0 {
      let i = Int(slots[at]) - 1
      if NestedFields.isEqual(names[i], name) {
        node.pointee.guess = i + 1
        return names[i].target
      }
      at = (at + 1) & (slots.count - 1)
    }
    return -1
  }

  @inline(__always)
  private static func isEqual(_ name: Name, _ other: StringRef) -> Bool {
    name.count == other.count && memoryEqual(UnsafePointer(name.start), other.start, other.count)
  }
}

/// Fields within members of the record, in the same pass over its bytes.
extension RecordDecoder {
  /// What a value is that is not a field itself.
  private enum Outcome {
    /// Its members or elements are read.
    case object, list
    /// Nothing in it is.
    case skipped
  }

  /// Reads a value that is not a field itself, and keeps what no field reads if the plan says so.
  /// - Parameter start: of its name; nil: it is an element of a list.
  func other(_ target: Int, _ scanner: inout JSONScanner, _ row: Int, from start: UnsafePointer<UInt8>?) throws(DecodeError) {
    guard let rescue else {
      _ = try below(target, &scanner, row)
      return
    }
    let isNull = scanner.at.pointee == 0x6E
    guard let start else {
      if try below(target, &scanner, row) == .skipped, !isNull { rescue.note() }
      return
    }
    guard target < -1 else {
      try scanner.skipValue()
      return rescue.add(start, scanner.at)
    }
    let mark = rescue.open(start, scanner.at)
    switch try below(target, &scanner, row) {
    case .object: rescue.close(mark)
    case .list where rescue.isEmpty(since: mark), .skipped where isNull: rescue.remove(from: mark)
    case .list, .skipped:
      rescue.remove(from: mark)
      rescue.add(start, scanner.at)
    }
  }

  private func below(_ target: Int, _ scanner: inout JSONScanner, _ row: Int) throws(DecodeError) -> Outcome {
    guard target < -1 else {
      try scanner.skipValue()
      return .skipped
    }
    let number = NestedFields.node(ofTarget: target)
    let node = nested.nodes.baseAddress! + number
    // Of a repeated member the last one counts, with all that is below it.
    for i in 0..<node.pointee.fields.count { sinks[node.pointee.fields[i]].clear(row) }
    if scanner.at.pointee == 0x7B, !node.pointee.names.isEmpty {
      try members(of: number, &scanner, row)
      return .object
    }
    if scanner.at.pointee == 0x5B, !node.pointee.elements.isEmpty {
      try elements(of: node.pointee.elements, &scanner, row)
      return .list
    }
    try scanner.skipValue()
    return .skipped
  }

  private func value(
    _ target: Int, _ scanner: inout JSONScanner, _ row: Int, from start: UnsafePointer<UInt8>? = nil
  ) throws(DecodeError) {
    guard scanner.at < scanner.end else { throw scanner.fail("a value is missing") }
    if target >= 0 { try sinks[target].read(&scanner, row) } else { try other(target, &scanner, row, from: start) }
    scanner.space()
    guard scanner.at < scanner.end else { throw scanner.fail("the record is cut off") }
  }

  private func members(of node: Int, _ scanner: inout JSONScanner, _ row: Int) throws(DecodeError) {
    scanner.at += 1
    scanner.space()
    if scanner.at < scanner.end, scanner.at.pointee == 0x7D {
      scanner.at += 1
      return
    }
    nested.nodes[node].guess = 0
    while true {
      guard scanner.at < scanner.end, scanner.at.pointee == 0x22 else { throw scanner.fail("a member name expected") }
      let start = scanner.at
      let target = try memberTarget(node, &scanner)
      scanner.space()
      guard scanner.at < scanner.end, scanner.at.pointee == 0x3A else { throw scanner.fail("':' expected") }
      scanner.at += 1
      scanner.space()
      try value(target, &scanner, row, from: start)
      if scanner.at.pointee == 0x7D {
        scanner.at += 1
        return
      }
      guard scanner.at.pointee == 0x2C else { throw scanner.fail("',' or '}' expected") }
      scanner.at += 1
      scanner.space()
    }
  }

  private func memberTarget(_ node: Int, _ scanner: inout JSONScanner) throws(DecodeError) -> Int {
    let text = try scanner.string()
    guard text.hasEscapes else { return nested.target(StringRef(start: text.start, count: text.count), in: node) }
    let arena = Arena(chunkBytes: 64)
    // A name with a lone surrogate is in no path.
    guard let name = try? JSONScanner.unescape(text, into: arena) else { return -1 }
    return withExtendedLifetime(arena) { nested.target(name, in: node) }
  }

  private func elements(
    of elements: UnsafeMutableBufferPointer<NestedFields.Element>, _ scanner: inout JSONScanner, _ row: Int
  ) throws(DecodeError) {
    scanner.at += 1
    scanner.space()
    if scanner.at < scanner.end, scanner.at.pointee == 0x5D {
      scanner.at += 1
      return
    }
    var (index, next) = (0, 0)
    while true {
      var target = -1
      if next < elements.count, elements[next].index == index {
        target = elements[next].target
        next += 1
      }
      try value(target, &scanner, row)
      if scanner.at.pointee == 0x5D {
        scanner.at += 1
        return
      }
      guard scanner.at.pointee == 0x2C else { throw scanner.fail("',' or ']' expected") }
      scanner.at += 1
      scanner.space()
      index += 1
    }
  }
}
