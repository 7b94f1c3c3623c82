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
    for (i, input) in inputs.enumerated() {
      whole[input.name, default: []].append(i)
      if let part = input.name.split(separator: ".").last { last[String(part), default: []].append(i) }
    }
    return (whole, last)
  }

  func resolve(_ path: String, _ offset: Int) throws(ExpressionError) -> Expr {
    guard let found = places.whole[path] ?? places.last[path], let index = found.first else {
      throw ExpressionError(
        "unknown column \(path.shortened(toBytes: 100))", at: offset, suggestion: nearestName(path, in: inputs.map(\.name)))
    }
    guard found.count == 1 else {
      let names = found.map { inputs[$0].name }.joined(separator: ", ")
      throw ExpressionError("\(path) may be any of \(names): write it out", at: offset)
    }
    return Build.column(index, inputs[index])
  }
}
