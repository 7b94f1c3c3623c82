import WeirCore
import WeirOperators
import WeirProtocol

/// Where a run begins to read a plain capture, by the ledger.
package struct CaptureStart: Sendable {
  /// Uncompressed bytes that were consumed before.
  package var position: Int64
  /// Hash of those bytes.
  package var prefix: Hash128?
  package var fileEnds: FileEnds
}
