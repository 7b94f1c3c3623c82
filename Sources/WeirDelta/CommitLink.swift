import WeirCore

/// What a commit of Weir says in its `commitInfo`: it takes the table from one ledger entry on.
///
/// A commit has a hash of its own bytes, and a copy of another commit has one too. Its entry shows that it is in the wrong place: each
/// commit begins where the commit before it ended, also one that takes the table back (`restoredFrom`).
struct CommitLink {
  /// The ledger that the commit follows.
  let ledger: String
  /// The application id of the `txn` with the entry.
  let application: String
  let from: Int64

  /// - Returns: nil for a commit of another program, and for the actions of a checkpoint.
  init?(_ actions: [DeltaAction]) {
    guard case .other(name: "commitInfo", let info)? = actions.first, let said = info["weir"], let ledger = said["ledger"]?.string,
      let from = said["from"]?.int ?? said["restoredFrom"]?.int
    else { return nil }
    for case .transaction(let application, _) in actions where application.hasPrefix(ledger + "/") {
      (self.ledger, self.application, self.from) = (ledger, application, from)
      return
    }
    return nil
  }

  /// - Parameters:
  ///   - transactions: of the log before the commit.
  ///   - owner: the ledger that the table belongs to by its metadata before the commit; nil: none, or not known.
  ///   - path: of the commit.
  /// - Throws: `corrupt` for a commit that does not follow the one before it.
  func check(_ transactions: [String: Int64], owner: String?, _ path: String) throws(WeirError) {
    if let owner, owner != ledger {
      throw CommitLink.replaced(path, "it is a commit of the ledger \(ledger), and the table belongs to \(owner)")
    }
    guard let before = transactions[application], before != from else { return }
    throw CommitLink.replaced(path, "it continues after entry \(from), and the commits before it end at entry \(before)")
  }

  static func replaced(_ path: String, _ reason: String) -> WeirError {
    WeirError(
      .corrupt, "the Delta log file \(path) is damaged: \(reason)",
      advice: "Restore it from a copy of the lake: another commit was put in its place.")
  }
}
