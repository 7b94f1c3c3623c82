import WeirCore
import WeirOperators
import WeirParquet

/// A data file ready to be written.
struct EncodedFile: Sendable {
  var table: String
  /// Relative to the table.
  var path: String
  var bytes: [UInt8]
  var rows: Int
  var partition: [(name: String, value: String?)]
  var statistics: [ColumnStatistics]
  var stored: [ColumnSchema]
}
