import WeirCore
import WeirOperators
import WeirProtocol

/// Where a run begins to read a plain capture, by the ledger.
public struct CaptureStart: Sendable {
  /// Uncompressed bytes that were consumed before.
  public var position: Int64
  /// Hash of those bytes.
  public var prefix: Hash128?
  public var fileEnds: FileEnds
}
