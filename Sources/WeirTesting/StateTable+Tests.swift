import WeirCore

extension StateTableReader {
  /// All rows of a table that have a value.
  public func rows(of table: String, prefix: [UInt8] = []) async throws -> [StateRow] {
    var rows: [StateRow] = []
    try await forEachRow(of: table, prefix: prefix) { rows.append($0) }
    return rows
  }
}

extension StateTable {
  /// Writes rows and values that no worker owns.
  @discardableResult
  public func put(_ batches: [StateBatch], meta: [(String, [UInt8])] = []) async throws -> Int {
    try await write(StateWrite(batches, meta: meta, owners: []))
  }
}
