import WeirCore

/// One look at an object.
enum VerifyLook {
  case bytes([UInt8])
  case missing
  /// The store gave an error, which is in the result.
  case unread
}
