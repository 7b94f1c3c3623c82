import WeirCore

/// A part of a list, struct or map, as a path names it: `user.id`, `items[0].sku`, `attrs['k']`.
struct PartPath {
  private(set) var steps: [PathStep] = []
  /// Of the part.
  private(set) var type: ColumnType
  /// The path so far, for messages and canonical text.
  private(set) var text: String

  init(of column: Expr) { (type, text) = (column.type, column.text) }

  /// `.name`: a member of a struct.
  mutating func member(_ name: String, _ offset: Int) throws(ExpressionError) {
    switch type {
    case .structure(let members):
      guard let member = members.first(where: { $0.name == name }) else {
        throw ExpressionError(
          "\(text) has no member \(name.shortened(toBytes: 100))", at: offset, suggestion: nearestName(name, in: members.map(\.name)))
      }
      try add(.name(name), member.type, ".\(PartPath.name(name))", offset)
    case .map: throw ExpressionError("\(text) is \(type.name): its values are found by key: \(text)[\(Build.quote(name))]", at: offset)
    case .list: throw ExpressionError("\(text) is \(type.name): name one of its elements first, such as \(text)[0]", at: offset)
    default: throw ExpressionError("\(text) is \(type.name), and has no members\(Scope.inText(type, text, "$.\(name)"))", at: offset)
    }
  }

  /// `['name']`: the value of a key, or a member.
  mutating func key(_ name: String, _ offset: Int) throws(ExpressionError) {
    guard case .map(let value) = type else { return try member(name, offset) }
    try add(.name(name), value, "[\(Build.quote(name))]", offset)
  }

  /// `[n]`: an element of a list, from 0.
  mutating func element(_ digits: String, _ offset: Int) throws(ExpressionError) {
    switch type {
    case .list(let element):
      guard let number = Int(digits), number <= FieldPath.indexMax else {
        throw ExpressionError(
          "\(digits) is not the number of an element: 0 to \(FieldPath.indexMax), from the first one (path_index)", at: offset)
      }
      try add(.index(number), element, "[\(number)]", offset)
    case .map: throw ExpressionError("\(text) is \(type.name): its keys are texts: \(text)['\(digits)']", at: offset)
    default: throw ExpressionError("\(text) is \(type.name), and has no elements\(Scope.inText(type, text, "$[\(digits)]"))", at: offset)
    }
  }

  private mutating func add(_ step: PathStep, _ type: ColumnType, _ text: String, _ offset: Int) throws(ExpressionError) {
    guard steps.count < FieldPath.stepsMax else {
      throw ExpressionError("a path has at most \(FieldPath.stepsMax) steps (path_steps)", at: offset)
    }
    steps.append(step)
    (self.type, self.text) = (type, self.text + text)
  }

  /// The part of a value, or the value itself where the path is empty.
  func expression(of column: Expr) -> Expr { steps.isEmpty ? column : Expr(node: .part(column, steps), type: type, text: text) }

  /// A member's name as an expression writes it.
  private static func name(_ name: String) -> String {
    Build.isWord(name[...])
      ? name : "\"\(name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\""
  }
}

extension Expr {
  /// The name that a column of it has where none is written: of a column, or of the member at the end of a path.
  func ownName(_ inputs: [InputColumn]) -> String? {
    switch node {
    case .column(let index): String(inputs[index].name.split(separator: ".").last ?? "")
    case .part(let column, let path):
      // A map's key need not be a name.
      if case .name(let name)? = path.last, text.last != "]", column.plainColumn != nil { name } else { nil }
    default: nil
    }
  }
}

extension Build {
  /// Whether a name needs no quotes.
  static func isWord(_ name: Substring) -> Bool {
    guard let first = name.utf8.first, !(first >= 0x30 && first <= 0x39) else { return false }
    return !reserved.contains(name.lowercased())
      && name.utf8.allSatisfy { $0 == 0x5F || $0 >= 0x80 || ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) }
  }
}
