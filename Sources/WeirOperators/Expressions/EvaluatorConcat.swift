import WeirCore

/// `||`: a whole chain at once, so that no text is copied more than once, and its length is known before it is made.
extension Evaluation {
  /// Bytes of a text that a chain of `||` makes. A longer one is an error of the record: a pipeline may name a field any number of times.
  static let textBytesMax = 16 << 20

  func concat(_ e: Expr) -> Vector {
    let arena = Arena()
    let parts = Evaluation.parts(e).map(run)
    var errors = parts.reduce(into: [:]) { $0.merge($1.errors) { first, _ in first } }
    let valid = parts.reduce(nil as [Bool]?) { bothValid($0, $1.validity(count)) }
    let constants = scratch()
    let texts = parts.map { $0.strings(constants) }
    let values = (0..<count).map { row -> StringRef in
      guard valid?[row] ?? true else { return .empty }
      let length = texts.reduce(0) { $0 + $1[row].count }
      guard length <= Evaluation.textBytesMax else {
        let tooLong = "a text of more than \(Evaluation.textBytesMax >> 20) MiB in \(e.text.shortened(toBytes: 1000))"
        errors[row] = errors[row] ?? tooLong
        return .empty
      }
      let start = arena.allocate(length)
      var to = start
      for text in texts {
        let part = text[row]
        to.update(from: part.start, count: part.count)
        to += part.count
      }
      return StringRef(start: UnsafePointer(start), count: length)
    }
    return vector(.string, .string(values), valid, errors, owners: [arena])
  }

  /// What a chain joins, in its order.
  private static func parts(_ e: Expr) -> [Expr] {
    guard case .concat(let a, let b) = e.node else { return [e] }
    return parts(a) + parts(b)
  }
}
