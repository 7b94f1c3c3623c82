import WeirCore
import WeirProtocol

/// A batch whose rows are in files, but for the windows that the merge lane finishes.
struct EncodedBatch: Sendable {
  /// Without its rows: they are freed once they are encoded.
  var batch: EpochBatch
  /// The commit's id; the names of its files hold it.
  var attempt: String
  /// The names of its files begin with it.
  var stem: String
  /// By the table's number.
  var files: [Int: [EncodedFile]]
  /// What encoding them took.
  var nanoseconds: Int64 = 0

  /// By table.
  var rows: [String: Int64] { files.values.joined().reduce(into: [:]) { $0[$1.table, default: 0] += $1.data.rows } }
}
