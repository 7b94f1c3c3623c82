import WeirCore

/// Looks whether data files are in the lake before a table names them: readers of a table cannot read it without one of its files.
public struct DataFiles: Sendable {
  private let lake: any ObjectStore

  public init(lake: any ObjectStore) { self.lake = lake }

  /// One request a file: its last byte is there, and none after it. The bytes themselves are `weir ledger verify`'s work.
  /// - Throws: `corrupt`, naming the file.
  public func check(_ files: [DataFile], of table: String) async throws {
    for file in files where try await !isThere(file) {
      throw WeirError(
        .corrupt,
        "the data file \(file.path) is missing or does not have its \(file.bytes) bytes: the table \(table) was not updated to its entry",
        advice:
          "Restore the file from a copy of the lake, then run again. Without a copy its rows are lost: replay into \(.newLake)."
      )
    }
  }

  private func isThere(_ file: DataFile) async throws -> Bool {
    guard file.bytes > 0 else { return try await lake.get(file.path, offset: 0, count: 1)?.isEmpty ?? false }
    return try await lake.get(file.path, offset: file.bytes - 1, count: 2)?.count == 1
  }
}
