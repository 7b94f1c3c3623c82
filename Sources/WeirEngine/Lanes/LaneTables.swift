import WeirCore
import WeirOperators

/// Rows of one lane and epoch, by table.
final class LaneTables: @unchecked Sendable {
  // Unchecked: a lane fills it and hands it over at the cut; then the encoder alone takes out of it. It is a class so that
  // what was taken is held nowhere else, and each block is freed as soon as it is encoded.
  var bronze: [RowChunk]
  var silver: [RowChunk]
  /// By number of the silver table that has a name of its own.
  var silverTables: [[RowChunk]]
  var quarantine: [Column]?
  /// By gold table number.
  var late: [Int: LateChunk] = [:]
  var gold: [Int: WindowResults] = [:]

  init(bronze: [RowChunk], silver: [RowChunk], silverTables: [[RowChunk]] = []) {
    self.bronze = bronze
    self.silver = silver
    self.silverTables = silverTables
  }

  func removeAll() {
    (bronze, silver, silverTables, quarantine) = ([], [], [], nil)
    (late, gold) = ([:], [:])
  }
}
