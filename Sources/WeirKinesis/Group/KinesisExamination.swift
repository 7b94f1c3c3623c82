import WeirCore

/// Looks at a stream and at the table with its leases, for `weir doctor`: whether they are there, whether this program may read them, and how
/// long records are kept. Changes nothing.
package struct KinesisExamination: Sendable {
  private let requests: KinesisRequests
  private let table: LeaseTable
  private let creates: Bool

  /// Below this a weekend's outage loses records.
  private static let hoursWanted: Int64 = 72
  /// A row of this key is never made.
  private static let noLease = "weir-doctor"

  /// - Parameter creates: a worker makes the table of leases where it is missing.
  package init(requests: KinesisRequests, table: LeaseTable, creates: Bool) {
    (self.requests, self.table, self.creates) = (requests, table, creates)
  }

  /// - Parameter report: gets a place and what was found there, when it is known.
  package func run(_ report: (String, StoreFinding) -> Void) async {
    await stream { report(requests.place, $0) }
    await leases { report(table.place, $0) }
  }

  // MARK: The stream

  /// After the first request that fails no other is made: it would mostly fail in the same way.
  private func stream(_ report: (StoreFinding) -> Void) async {
    var what = "the stream can be described"
    do throws(KinesisFailure) {
      let summary = try await requests.summary()
      report(KinesisExamination.status(summary.status))
      report(KinesisExamination.retention(summary.retentionHours))
      what = "the shards can be listed"
      let shards = try await requests.shards()
      report(StoreFinding(what: "the stream has \(shards.count { !$0.isClosed }) open shards, of \(shards.count)"))
      guard let shard = shards.first(where: { !$0.isClosed }) ?? shards.first else { return }
      what = "records can be read"
      _ = try await requests.records(try await requests.iterator(shard.id, .trimHorizon), limit: 1)
      report(StoreFinding(what: what))
    } catch {
      if error.kind == .throttled { return report(StoreFinding(what: what, notice: "throttled: other programs read the stream now")) }
      report(StoreFinding(what: what, problem: "\(error.error)"))
    }
  }

  static func status(_ status: String) -> StoreFinding {
    let what = "the stream is there"
    guard !status.isEmpty, status != "ACTIVE", status != "UPDATING" else { return StoreFinding(what: what) }
    return StoreFinding(what: what, notice: "its status is \(Printable.text(status, bytesMax: 40)): a worker waits for ACTIVE")
  }

  static func retention(_ hours: Int64) -> StoreFinding {
    let what = "the stream keeps records for \(hours) hours"
    guard hours < hoursWanted else { return StoreFinding(what: what) }
    return StoreFinding(
      what: what, notice: "workers that are stopped for longer lose records (a gap in the ledger): raise the retention period")
  }

  // MARK: The leases

  private func leases(_ report: (StoreFinding) -> Void) async {
    var what = "the table of leases can be described"
    do throws(KinesisFailure) {
      let isActive = try await table.isActive()
      let good = "the table of leases has the Kinesis Client Library's key"
      report(isActive ? StoreFinding(what: good) : StoreFinding(what: good, notice: "it is not active yet: a worker waits for it"))
      what = "the leases can be read"
      let leases = try await table.leases()
      report(StoreFinding(what: "the table has \(leases.count) leases, \(leases.count { $0.owner != nil }) of them owned"))
      what = "leases may be written"
      try await writes()
      report(StoreFinding(what: what))
    } catch {
      if error.kind == .tableMissing, creates {
        return report(StoreFinding(what: "the table of leases is not there yet: the first run creates it"))
      }
      report(StoreFinding(what: what, problem: "\(error.error)"))
    }
  }

  /// A change of a row that is not there: its condition never holds.
  private func writes() async throws(KinesisFailure) {
    do throws(KinesisFailure) {
      try await table.want(Lease(key: KinesisExamination.noLease, owner: KinesisExamination.noLease), as: KinesisExamination.noLease)
    } catch {
      if error.kind != .condition { throw error }
    }
  }
}
