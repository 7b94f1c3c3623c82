import WeirCore

/// Where the files of lookups are, to be looked at while a worker runs.
package protocol LookupPlaces: Sendable {
  /// - Parameters:
  ///   - known: what ``LookupLook/sight`` was the last time; nil: it is read in any case.
  ///   - bytesMax: more are refused.
  /// - Returns: nil: it is the one that is known.
  /// - Throws: why it cannot be read, in words that need nothing before them.
  func look(at lookup: LookupSpec, unless known: String?, bytesMax: Int) async throws(WeirError) -> LookupLook?
}

/// What a lookup's file is at one moment.
package struct LookupLook: Sendable {
  package var bytes: [UInt8]
  /// By which the same file is recognised without its bytes (a time and a size, an ETag); nil: by its bytes only.
  package var sight: String?

  package init(bytes: [UInt8], sight: String?) { (self.bytes, self.sight) = (bytes, sight) }
}
