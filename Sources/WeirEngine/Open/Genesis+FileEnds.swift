import WeirCore
import WeirOperators
import WeirProtocol

extension Genesis {
  /// How the ledger's capture is read.
  var capturedFileEnds: FileEnds { fileEnds ?? .join }
}
