import WeirCore

/// The versions of a table that one follower made, each on its last.
struct OwnVersions: Sendable {
  /// Versions in a row that show that no other worker commits at present: a put that finds its number taken costs more than the looks that
  /// it saves.
  static let least = 4
  /// Other programs clean a log's commits after days. A worker that slept for as long must look: the versions after its own may have been
  /// made and cleaned.
  static let nanosecondsMax: Int64 = 3_600_000_000_000

  private var version: Int64 = -1
  private var count = 0
  private var at: Int64 = 0

  /// - Parameter now: monotonic, counting while the machine sleeps.
  mutating func ended(_ outcome: PutOutcome, version: Int64, at now: Int64) {
    guard outcome == .created else {
      count = 0
      return
    }
    count = version == self.version + 1 ? count + 1 : 1
    (self.version, at) = (version, now)
  }

  /// Whether the follower made the versions up to this one, not long ago.
  func isLong(through version: Int64, at now: Int64) -> Bool {
    version == self.version && count >= OwnVersions.least && now - at < OwnVersions.nanosecondsMax
  }
}
