/// What the system says of this process's memory, and the allocator's part of it.
package struct ProcessMemory: Sendable {
  /// Memory that is not backed by a file; nil: not known.
  package var anonymousBytes: @Sendable () -> Int64?
  /// Gives back to the system what is free.
  package var trim: @Sendable () -> Void

  package init(anonymousBytes: @escaping @Sendable () -> Int64?, trim: @escaping @Sendable () -> Void) {
    (self.anonymousBytes, self.trim) = (anonymousBytes, trim)
  }
}
