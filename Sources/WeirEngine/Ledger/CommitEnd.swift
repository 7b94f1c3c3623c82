import WeirCore
import WeirProtocol

/// How a commit of this worker ended. What it means for the worker is the caller's business (laws 1 and 2).
enum CommitEnd: Sendable {
  /// The entry is the ledger's last one that this worker knows.
  case committed(LedgerFold)
  /// Nothing of it is in the ledger: these lanes are another worker's by now.
  case fenced([LaneID])
  /// Nothing of it is in the ledger: the attempt was too old. It says nothing about other workers.
  case expired
  /// It is not known whether the entry was written.
  case unknown(number: Int64)
  /// A commit before it did not end as committed. The epoch followed it, so it was dropped.
  case abandoned
}

/// A commit did not end as committed: what the worker holds in memory follows nothing in the ledger.
struct CommitRefused: Error {
  let end: CommitEnd
}

extension CommitRefused {
  /// What a live worker reports: it restores its lanes from the ledger and continues.
  var ofSession: WeirError {
    switch end {
    case .fenced(let lanes):
      WeirError(
        .fenced,
        "another worker committed for \(lanes.map { $0 == .merge ? "the merge lane" : "lane \($0.text)" }.joined(separator: ", ")) of this ledger",
        advice: "Nothing was lost. Is a second deployment running on this lake, with a group of its own? Run one.")
    case .expired: expired(advice: "Nothing was lost: the worker continues from the ledger. Is the lake slow?")
    case .unknown, .abandoned, .committed:
      WeirError(
        .unknown, "it is not known whether an entry of the ledger was written",
        advice: "Check space and permissions of the lake's directory; the worker continues from what the ledger says.")
    }
  }

  /// What a replay reports: it stops, and a new run restores from the ledger.
  var ofRun: WeirError {
    switch end {
    case .fenced(let lanes):
      WeirError(
        .fenced, "another worker committed for lane \(lanes.first?.text ?? "") of this ledger: this one stops",
        advice: "Run one worker per ledger. Nothing was lost: the other worker continues, and a new run continues from the ledger.")
    case .expired: expired(advice: "Nothing was lost. Run the same command again: it continues from the ledger. Is the lake slow?")
    case .unknown(let number):
      WeirError(
        .unknown, "it is not known whether ledger entry \(number) was written",
        advice: "Check space and permissions of the lake's directory, then run again: it starts from what the ledger says.")
    case .abandoned, .committed: WeirError(.internal, "an epoch was dropped after a commit that did not end as committed")
    }
  }
}

extension CommitRefused {
  private func expired(advice: Wording) -> WeirError {
    WeirError(
      .abandoned, "a commit took longer than an hour, or this program was stopped for that long: it was given up", advice: advice)
  }
}

extension CommitEnd {
  /// The ledger with the entry.
  func fold() throws(CommitRefused) -> LedgerFold {
    if case .committed(let fold) = self { return fold }
    throw CommitRefused(end: self)
  }
}
