import WeirCore

/// What rows of elements take, estimated from the lengths of the texts that their expressions read: a function of the record and the plan.
struct RowBytes: Sendable {
  /// Of a row: each step of its expressions has a value.
  private let fixed: Int
  /// Inputs that are texts or nested, and how many bytes a row takes for each of theirs: in memory while it is made, and in the table.
  private let texts: [(input: Int, made: Int, written: Int)]

  /// The table's rows of one record take at most this many bytes in it, before it is compressed.
  static let recordMax = 1 << 30
  /// The bound's name.
  static let recordBound = "exploded_bytes"
  /// Rows of a block that take more have no columns until they are written.
  static let blockMax = 4 << 20
  /// What is made of these at once.
  static let pieceMax = 1 << 20

  /// - Parameter exprs: of the table's columns and its filter.
  init(_ exprs: [Expr], inputs: [InputColumn]) {
    var fixed = 0
    var made = [Int](repeating: 0, count: inputs.count)
    var written = made
    func count(_ expr: Expr, isStep: Bool) {
      fixed += 16
      switch expr.node {
      case .column(let input):
        written[input] += 1
        // A step's text, and the result's.
        if isStep { made[input] += 2 }
      case .literal(.string(let text)): fixed += 2 * text.utf8.count
      default: for child in expr.node.children { count(child, isStep: true) }
      }
    }
    for expr in exprs { count(expr, isStep: false) }
    self.fixed = fixed
    texts = inputs.indices.compactMap { input in
      switch inputs[input].type {
      case .string, .binary, .list, .structure, .map: written[input] > 0 ? (input, made[input], written[input]) : nil
      default: nil
      }
    }
  }

  /// Lengths of the texts that a block's rows read.
  struct Lengths {
    /// Those of the records, with bytes made and written for each byte; then the elements', of which there is one per row.
    fileprivate var ofRecords: [(values: [StringRef], made: Int, written: Int)] = []
    fileprivate var ofElements = (made: 0, written: 0)
    fileprivate let fixed: Int

    /// Of a row, without its element.
    func made(record: Int) -> Int { ofRecords.reduce(fixed) { $0 + $1.values[record].count * $1.made } }
    func written(record: Int) -> Int { ofRecords.reduce(fixed) { $0 + $1.values[record].count * $1.written } }
    /// Of an element of this many bytes.
    func made(element bytes: Int) -> Int { bytes * ofElements.made }
    func written(element bytes: Int) -> Int { bytes * ofElements.written }
  }

  /// - Parameter inputs: of the records; the element comes after them.
  func lengths(_ inputs: [Column?]) -> Lengths {
    var lengths = Lengths(fixed: fixed)
    for (input, made, written) in texts {
      if input == inputs.count {
        lengths.ofElements = (made, written)
      } else if input < inputs.count, case .string(let values)? = inputs[input]?.values {
        lengths.ofRecords.append((values, made, written))
      }
    }
    return lengths
  }
}
