import WeirCore

/// Finds out that workers of another ledger are in this worker's consumer group, by mistake: the group spreads the partitions over
/// all of them, so neither pipeline reads all. Pure: it is given what is stored at the source.
///
/// Each worker leaves its positions at the source, for tools that show lag, and with each a mark: whose position it is. The mark of
/// another ledger may be years old (the group had another lake then) and says nothing by itself. One that **moves** between two looks
/// was left meanwhile: the other is at work now.
struct GroupMates {
  /// Number of looks for which another worker counts as present after its positions stopped moving.
  static let looksMax = 30

  /// Whose position it is.
  struct Mark: Equatable {
    /// Before everything else, with the version of what follows.
    private static let beginning = "weir-1"
    /// Of a pipeline's name: the source keeps a few thousand bytes at most.
    private static let nameMax = 200

    var ledgerID: String
    var pipeline: String

    init(ledgerID: String, pipeline: String) {
      self.ledgerID = ledgerID
      self.pipeline = String(pipeline.prefix(Mark.nameMax))
    }

    /// nil: left by another program, or an earlier version.
    init?(_ text: String) {
      let parts = text.split(separator: " ", maxSplits: 2)
      guard parts.count == 3, parts[0] == Mark.beginning else { return nil }
      self.init(ledgerID: String(parts[1]), pipeline: String(parts[2]))
    }

    var text: String { "\(Mark.beginning) \(ledgerID) \(pipeline)" }
  }

  let own: Mark
  private var last: [String: FollowedPosition]?
  private var seen: (mark: Mark, looksAgo: Int)?

  init(own: Mark) { self.own = own }

  /// - Parameter followed: of all shards of the source; those without a position are left out.
  /// - Returns: who else is in the group.
  mutating func look(_ followed: [String: FollowedPosition]) -> Mark? {
    seen = seen.flatMap { $0.looksAgo < GroupMates.looksMax ? ($0.mark, $0.looksAgo + 1) : nil }
    if let last {
      // What was not seen before may have been left at any time: it counts when it moves.
      let moved = followed.filter { now in last[now.key].map { $0 != now.value } ?? false }.sorted { $0.key < $1.key }
      if let other = moved.lazy.compactMap({ Mark($0.value.owner) }).first(where: { $0.ledgerID != own.ledgerID }) { seen = (other, 0) }
    }
    last = followed
    return seen?.mark
  }

  /// What is wrong, and what to do.
  func error(_ other: Mark, group: String) -> WeirError {
    let who = other.pipeline == own.pipeline ? "another lake of the pipeline \(other.pipeline)" : "the pipeline \(other.pipeline)"
    return WeirError(
      .groupShared,
      "the consumer group \(group) is also used by \(who) (ledger \(other.ledgerID)): each takes partitions from the other, so neither reads all records",
      advice:
        "Stop one of them, and give each pipeline and lake a group of its own (\(.setting(.sourceGroup))). Nothing is lost: each resumes from its own ledger."
    )
  }
}
