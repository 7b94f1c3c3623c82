import WeirCore

extension StateSpec {
  /// Shown after the row's own columns.
  package static let ownColumns = ["_fence", "_committed"]
}
