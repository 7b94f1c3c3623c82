import WeirCore
import WeirProtocol

/// A data file of an epoch.
struct EncodedFile: Sendable {
  var table: String
  /// As the ledger will have it.
  var data: DataFile
  /// nil once they are written.
  var bytes: [UInt8]?
}
