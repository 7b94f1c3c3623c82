import WeirCore

/// The columns that an expression may name.
final class Scope {
  let inputs: [InputColumn]
  /// Inputs by their whole names, and by the last part of them. Made when the first name is looked up.
  private lazy var places = Scope.places(inputs)

  init(inputs: [InputColumn]) { self.inputs = inputs }

  private static func places(_ inputs: [InputColumn]) -> (whole: [String: [Int]], last: [String: [Int]]) {
    var whole: [String: [Int]] = [:]
    var last: [String: [Int]] = [:]
    for (i, input) in inputs.enumerated() where input.origin != .hidden {
      whole[input.name, default: []].append(i)
      if let part = input.name.split(separator: ".").last { last[String(part), default: []].append(i) }
    }
    return (whole, last)
  }

  func has(_ path: String) -> Bool { places.whole[path] != nil || places.last[path] != nil }

  /// The column that the first of some names with dots between them are, and how many of them: as many as possible. What follows is a path.
  func resolve(_ names: [String], _ offset: Int) throws(ExpressionError) -> (column: Expr, names: Int) {
    for count in (1...names.count).reversed() {
      let path = names.prefix(count).joined(separator: ".")
      guard let found = places.whole[path] ?? places.last[path], let index = found.first else { continue }
      guard found.count == 1 else {
        let names = found.map { inputs[$0].name }.joined(separator: ", ")
        throw ExpressionError("\(path) may be any of \(names): write it out", at: offset)
      }
      if count < names.count, !inputs[index].type.isNested {
        let (name, type) = (inputs[index].name, inputs[index].type)
        let json = Scope.inText(type, name, "$.\(names[count...].joined(separator: "."))")
        throw unknown(names, offset, ": \(name) is \(type.name), and has no members\(json)")
      }
      return (Build.column(index, inputs[index]), count)
    }
    throw unknown(names, offset)
  }

  /// A text may be JSON.
  static func inText(_ type: ColumnType, _ text: String, _ path: String) -> String {
    type == .string ? "; if it is JSON, write json_value(\(text.shortened(toBytes: 100)), '\(path.shortened(toBytes: 100))')" : ""
  }

  private func unknown(_ names: [String], _ offset: Int, _ why: String = "") -> ExpressionError {
    let path = names.joined(separator: ".")
    let isHidden = inputs.contains { $0.origin == .hidden && ($0.name == path || $0.name == names[0]) }
    let other = isHidden ? ": it is of other kinds of records than this expression" : ""
    var error = ExpressionError(
      "unknown column \(path.shortened(toBytes: 100))\(isHidden ? other : why)", at: offset,
      suggestion: isHidden ? nil : nearestName(path, in: inputs.filter { $0.origin != .hidden }.map(\.name)))
    error.unknownColumn = path
    return error
  }
}
