import WeirCore
import WeirProtocol

/// Through which entry a topic holds a table's rows, as it is stored in the lake.
///
/// With a hash: a digit that flips must not make rows be passed over. With the entry's proof: the same number of another history of
/// the ledger says nothing about this one's rows.
struct SinkMarker: Equatable {
  var ledgerID: String
  var through: Int64
  /// ``EntryProof``; nil in a marker of an older version.
  var proof: Int64?

  init(ledgerID: String, through: Int64, proof: Int64?) {
    self.ledgerID = ledgerID
    self.through = through
    self.proof = proof
  }

  /// - Throws: `corrupt`
  init(bytes: [UInt8], path: String) throws(WeirError) {
    guard let value = try? JSONValue(parsing: bytes), let through = value["through"]?.int, let ledger = value["ledger"]?.string else {
      throw SinkMarker.broken(path)
    }
    self.init(ledgerID: ledger, through: through, proof: value["proof"]?.int)
    guard bytes == self.bytes else { throw SinkMarker.broken(path) }
  }

  var bytes: [UInt8] {
    let hash = ContentHash(of: Array("\(ledgerID) \(through)\(proof.map { " \($0)" } ?? "")".utf8)).hex
    return JSONValue.object(
      [.init("ledger", .string(ledgerID)), .init("through", .int(through))]
        + (proof.map { [.init("proof", .int($0))] } ?? []) + [.init("sha256", .string(hash))]
    ).bytes
  }

  /// Whether what the markers say was published are the ledger's entries. Writes nothing.
  static func check(_ spec: SinkSpec, _ ledger: Ledger, _ lake: any ObjectStore) async throws {
    for route in spec.routes { _ = try await SinkMarkers(route, ledger, lake).read() }
  }

  /// Refuses a marker of entries that the ledger does not have, or has others of. Another worker may be ahead of what this one has
  /// read of the ledger, but none of the ledger itself.
  /// - Throws: `topic_ahead`, and what reading the ledger throws.
  func check(_ ledger: Ledger, topic: String, table: String, path: String) async throws {
    let truth: EntryProof?
    do { truth = try await ledger.proof(of: through) } catch let error as WeirError where error.code == .ledgerCollected {
      // A worker that knew nothing of the topic collected the entries: publishing says so.
      return
    }
    let trouble: String
    if let truth {
      guard !truth.agrees(with: proof, number: through) else { return }
      trouble = "which is another entry than the ledger's: the ledger was restored from an older copy and has continued"
    } else {
      trouble = "which this ledger does not have: the lake was restored from a copy"
    }
    throw WeirError(
      .topicAhead, "the topic \(topic) has \(table) through entry \(through), \(trouble)",
      advice:
        "Consumers would treat new entries as repeats of published ones. Use another topic, or remove \(path) and reset the consumers."
    )
  }

  private static func broken(_ path: String) -> WeirError {
    WeirError(
      .corrupt, "\(path) is not the marker of a topic", advice: "Remove it: the topic then starts at the oldest entry of the ledger.")
  }
}
