/// Rows of final windows that are made some at a time.
protocol WindowRows {
  /// Adds rows until `results` is full (``WindowResults/isFull``).
  /// - Returns: false at the end.
  mutating func emit(into results: inout WindowResults) -> Bool
}

/// Final windows whose rows are still to be built: more than fit into memory at once. Holds what they are made of, which is no more than
/// the open windows were.
package final class WindowBacklog: @unchecked Sendable {
  // Unchecked: a lane makes it and gives it away; then one encoder uses it. What it shares with the lane's store never changes.
  private var rows: any WindowRows
  private let measures: Int

  /// - Parameter measures: how many each window has.
  init(measures: Int, _ rows: any WindowRows) { (self.measures, self.rows) = (measures, rows) }

  /// The next rows, as many as fit into memory at once (``WindowResults/isFull``); nil when all were given. Each row is given once.
  package func next() -> WindowResults? {
    var results = WindowResults(measures: measures)
    _ = rows.emit(into: &results)
    return results.isEmpty ? nil : results
  }
}
