import WeirCore

/// A path within a text of JSON, as SQL writes it: `$.a.b`, `$.items[0].sku`, `$."a b"`, `$['a.b']`.
enum JSONPath {
  /// - Parameter offset: of the path in the expression, for errors.
  static func parse(_ text: String, _ offset: Int) throws(ExpressionError) -> [PathStep] {
    func fault(_ why: String) -> ExpressionError {
      ExpressionError("\(Build.quote(text.shortened(toBytes: 100))) is not a path: \(why); such as '$.a.b' or '$.items[0].sku'", at: offset)
    }
    guard text.utf8.count <= FieldPath.bytesMax else { throw fault("it has more than \(FieldPath.bytesMax) bytes (path_bytes)") }
    guard text.first == "$" else { throw fault("it begins with $") }
    var rest = text.dropFirst()
    var steps: [PathStep] = []
    func quoted(_ rest: inout Substring) throws(ExpressionError) -> String {
      let quote = rest.removeFirst()
      guard let end = rest.firstIndex(of: quote) else { throw fault("a name in quotes does not end") }
      defer { rest = rest[rest.index(after: end)...] }
      return String(rest[..<end])
    }
    while let first = rest.first {
      guard steps.count < FieldPath.stepsMax else { throw fault("it has more than \(FieldPath.stepsMax) steps (path_steps)") }
      rest.removeFirst()
      switch first {
      case ".":
        if rest.first == "\"" {
          steps.append(.name(try quoted(&rest)))
          continue
        }
        let name = rest.prefix { !".[]\"'*? ".contains($0) }
        guard !name.isEmpty else { throw fault("a name is missing after a dot") }
        steps.append(.name(String(name)))
        rest = rest[name.endIndex...]
      case "[":
        if rest.first == "'" || rest.first == "\"" {
          steps.append(.name(try quoted(&rest)))
        } else {
          let digits = rest.prefix { $0.isASCII && $0.isNumber }
          guard let number = Int(digits), number <= FieldPath.indexMax else {
            throw fault("in brackets is the number of an element, from 0 to \(FieldPath.indexMax), or a name in quotes")
          }
          steps.append(.index(number))
          rest = rest[digits.endIndex...]
        }
        guard rest.first == "]" else { throw fault("a bracket does not end") }
        rest.removeFirst()
      default: throw fault("'.' or '[' is expected before '\(String(first))\(rest.prefix(10))'")
      }
    }
    return steps
  }

  /// Canonical.
  static func text(_ steps: [PathStep]) -> String {
    steps.reduce("$") { path, step in
      switch step {
      case .index(let index): path + "[\(index)]"
      case .name(let name):
        Build.isWord(name[...]) ? "\(path).\(name)" : name.contains("\"") ? "\(path)['\(name)']" : "\(path).\"\(name)\""
      }
    }
  }
}

extension Build {
  /// `json_value(raw, '$.a.b')`.
  static func jsonValue(_ a: Expr, _ path: [PathStep], _ offset: Int) throws(ExpressionError) -> Expr {
    let a = typed(a, .string)
    guard a.type == .string else {
      throw ExpressionError("json_value needs a text of JSON, and \(a.text) is \(a.type.name)", at: offset)
    }
    return Expr(node: .jsonValue(a, path), type: .string, text: "json_value(\(a.text), \(quote(JSONPath.text(path))))")
  }
}
