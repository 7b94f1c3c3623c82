import WeirCore

/// A secret that its owner fetches, and that may change while a client runs. Two of them are equal if their words are.
package struct SecretProvider: Sendable, Hashable, CustomStringConvertible {
  /// Names the place, never the value.
  package let description: String
  /// The value that is known, or fetched now: it may block for some seconds.
  let read: @Sendable () throws(WeirError) -> String
  /// The value that is known, at once; a newer one is fetched meanwhile if it is time. nil: none is known.
  let current: @Sendable () -> String?
  /// The broker did not accept the value.
  let refused: @Sendable () -> Void

  package init(
    _ description: String, read: @escaping @Sendable () throws(WeirError) -> String, current: @escaping @Sendable () -> String?,
    refused: @escaping @Sendable () -> Void
  ) {
    (self.description, self.read, self.current, self.refused) = (description, read, current, refused)
  }

  package static func == (a: SecretProvider, b: SecretProvider) -> Bool { a.description == b.description }
  package func hash(into hasher: inout Hasher) { hasher.combine(description) }
}
