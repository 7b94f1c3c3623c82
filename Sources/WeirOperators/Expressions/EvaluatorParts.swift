import WeirCore

/// Parts of nested values, and of texts of JSON.
extension Evaluation {
  /// A step with what the type says of it.
  private enum Step {
    case element(Int, ColumnType)
    case member(Int, [StructMember])
    case entry(StringRef, ColumnType)

    func find(in value: StringRef) -> NestedReader.Found? {
      var reader = NestedReader(value)
      switch self {
      case .element(let number, let type): return reader.element(number, of: type)
      case .member(let number, let members): return reader.member(number, of: members)
      case .entry(let key, let type): return reader.entry(key, of: type)
      }
    }
  }

  /// - Parameter keys: holds the bytes of keys.
  private static func steps(_ path: [PathStep], in type: ColumnType, _ keys: Arena) -> [Step] {
    var type = type
    return path.map { step in
      switch (step, type) {
      case (.index(let number), .list(let element)):
        type = element
        return .element(number, element)
      case (.name(let name), .structure(let members)):
        guard let number = members.firstIndex(where: { $0.name == name }) else { preconditionFailure("a struct has no member \(name)") }
        type = members[number].type
        return .member(number, members)
      case (.name(let name), .map(let value)):
        type = value
        return .entry(keys.copy(name), value)
      default: preconditionFailure("\(type.name) has no part \(FieldPath.text([step])): the plan's compiler refuses it")
      }
    }
  }

  /// Values refer to the bytes of the column that they are a part of.
  func part(_ x: Vector, _ path: [PathStep], _ type: ColumnType) -> Vector {
    let keys = Arena(chunkBytes: 256)
    let steps = Evaluation.steps(path, in: x.type, keys)
    let source = x.column(count)
    guard case .string(let values) = source.values else { preconditionFailure("a part of \(x.type.name)") }
    var builder = ColumnBuilder(type)
    for row in 0..<count {
      var found: NestedReader.Found? = source.isValid(row) ? values[row] : nil
      for step in steps {
        guard let value = found else { break }
        found = step.find(in: value)
      }
      builder.append(found: found)
    }
    var column = withExtendedLifetime(keys) { builder.finish() }
    column.owners += source.owners
    return Vector(type: type, .column(column), errors: x.errors)
  }

  /// A text that is not JSON is an error of its record.
  func jsonValue(_ x: Vector, _ path: [PathStep], _ e: Expr) -> Vector {
    let (arena, names) = (Arena(), Arena(chunkBytes: 256))
    let texts = x.strings(scratch())
    let before = x.validity(count)
    var search = JSONSearch(path, names)
    var valid = [Bool](repeating: false, count: count)
    var errors = x.errors
    var values = [StringRef](repeating: .empty, count: count)
    for row in 0..<count where before?[row] ?? true {
      do {
        guard let found = try search.scalar(in: texts[row], into: arena) else { continue }
        (values[row], valid[row]) = (found, true)
      } catch {
        errors[row] = "the text is not JSON: \(error.reason) in \(e.text.shortened(toBytes: 1000))"
      }
    }
    return withExtendedLifetime(names) {
      vector(.string, .string(values), valid.allSatisfy { $0 } ? nil : valid, errors, owners: x.owners + [arena])
    }
  }
}

/// Finds the value at one path in texts of JSON. Of a member that comes twice the last one counts, as everywhere.
private struct JSONSearch {
  private enum Step {
    case name(StringRef)
    case index(Int)
  }
  private let steps: [Step]
  /// The text with what scans read beyond its end.
  private var copy: [UInt8] = []

  /// - Parameter names: holds the bytes of the path's names.
  init(_ path: [PathStep], _ names: Arena) {
    steps = path.map { step in
      switch step {
      case .name(let name): .name(names.copy(name))
      case .index(let index): .index(index)
      }
    }
  }

  /// - Returns: the text of a string, number or bool; nil: there is none.
  /// - Throws: the text is not JSON.
  mutating func scalar(in text: StringRef, into arena: Arena) throws(DecodeError) -> StringRef? {
    copy.removeAll(keepingCapacity: true)
    copy.append(contentsOf: text.bytes)
    copy.append(contentsOf: repeatElement(0, count: TextBuffer.slack))
    return try copy.withUnsafeBufferPointer { bytes throws(DecodeError) in
      let start = bytes.baseAddress!
      var scanner = JSONScanner(at: start, end: start + text.count)
      scanner.space()
      let value = scanner.at
      try scanner.skipValue()
      let end = scanner.at
      scanner.space()
      guard scanner.at == scanner.end else { throw scanner.fail("unexpected text after the value") }
      guard let found = try find(JSONScanner(at: value, end: end)) else { return nil }
      return try JSONSearch.scalar(found, into: arena)
    }
  }

  /// Where the value at the path begins and ends.
  private func find(_ whole: JSONScanner) throws(DecodeError) -> JSONScanner? {
    var value = whole
    for step in steps {
      let next: JSONScanner? =
        switch step {
        case .name(let name): value.at.pointee == 0x7B ? try JSONSearch.member(name, value) : nil
        case .index(let index): value.at.pointee == 0x5B ? try JSONSearch.element(index, value) : nil
        }
      guard let next else { return nil }
      value = next
    }
    return value
  }

  /// The text was read before: only its shape matters here.
  private static func member(_ name: StringRef, _ object: JSONScanner) throws(DecodeError) -> JSONScanner? {
    var (scanner, found): (JSONScanner, JSONScanner?) = (object, nil)
    scanner.at += 1
    scanner.space()
    while scanner.at.pointee != 0x7D {
      let text = try scanner.string()
      let isIt = try isName(text, name)
      scanner.space()
      scanner.at += 1
      scanner.space()
      let start = scanner.at
      try scanner.skipValue()
      if isIt { found = JSONScanner(at: start, end: scanner.at) }
      scanner.space()
      if scanner.at.pointee == 0x2C { scanner.at += 1 }
      scanner.space()
    }
    return found
  }

  private static func isName(_ text: JSONScanner.Text, _ name: StringRef) throws(DecodeError) -> Bool {
    guard text.hasEscapes else { return StringRef(start: text.start, count: text.count) == name }
    let arena = Arena(chunkBytes: 64)
    // A name with a lone surrogate is in no path.
    guard let plain = try? JSONScanner.unescape(text, into: arena) else { return false }
    return withExtendedLifetime(arena) { plain == name }
  }

  private static func element(_ index: Int, _ array: JSONScanner) throws(DecodeError) -> JSONScanner? {
    var scanner = array
    scanner.at += 1
    scanner.space()
    var number = 0
    while scanner.at.pointee != 0x5D {
      let start = scanner.at
      try scanner.skipValue()
      if number == index { return JSONScanner(at: start, end: scanner.at) }
      number += 1
      scanner.space()
      if scanner.at.pointee == 0x2C { scanner.at += 1 }
      scanner.space()
    }
    return nil
  }

  private static func scalar(_ value: JSONScanner, into arena: Arena) throws(DecodeError) -> StringRef? {
    var scanner = value
    switch value.at.pointee {
    case 0x7B, 0x5B, 0x6E: return nil
    case 0x22:
      let text = try scanner.string()
      if text.hasEscapes { return try JSONScanner.unescape(text, into: arena) }
      return arena.copy(UnsafeBufferPointer(start: text.start, count: text.count))
    default: return arena.copy(UnsafeBufferPointer(start: value.at, count: value.end - value.at))
    }
  }
}
