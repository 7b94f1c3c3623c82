import CKafka

/// What a consumer reports to its owner about its group.
package enum KafkaGroupEvent: Sendable {
  /// These partitions are ours now: bring their state up to the ledger, then ``KafkaConsumer/assign(_:)`` them at the
  /// ledger's positions. Empty: answer too.
  case assigned([KafkaPartition])
  /// These are to be given up: stop, cut, commit, then ``KafkaConsumer/release(_:)``. `isLost`: another member may own
  /// them already, so drop them without a commit.
  case revoked([KafkaPartition], isLost: Bool)
  /// Something failed. What is not retriable and fatal to more than an operation has to be acted on.
  case failed(KafkaError)
  /// The consumer was closed; nothing comes after it.
  case closed
}

/// The rules of a membership, without client, lock or thread: what the owner may answer at this moment, and with which
/// call librdkafka wants the answer.
///
/// librdkafka sends one rebalance event at a time and waits for the answer. While the owner is still restoring lanes for
/// `assigned`, the membership may be lost; then:
/// 1. `assigned` was reported, the answer is owed (`owed == .assign`);
/// 2. the session times out; librdkafka queues the revocation after the assignment that it waits for;
/// 3. the owner answers with `assign`: readers are made, librdkafka takes the call;
/// 4. `revoked(isLost)` arrives, the owner drops what it restored and answers with `release`.
/// Nothing read between 3 and 4 can be committed: the ledger's fence is by lane and epoch, not by membership.
///
/// It does not wait if the list of topics changes meanwhile (a new topic matches a pattern): it joins again at once, and
/// reports the next assignment. Under the eager protocol that one replaces the earlier one without a revocation.
struct GroupMachine {
  enum Owed: Equatable {
    case nothing
    case assign(Set<KafkaPartition>)
    case release(Set<KafkaPartition>)
  }

  /// How librdkafka wants an assignment changed.
  enum Method: Equatable {
    /// The whole assignment replaced (the eager protocol).
    case whole
    /// Only what changes (the cooperative protocol, and no group at all).
    case incremental
  }

  private(set) var owed = Owed.nothing
  /// Assignments that were not answered when the next one came, in order: the owner answers them before `owed`.
  private(set) var earlier: [Set<KafkaPartition>] = []
  private(set) var held: Set<KafkaPartition> = []
  private(set) var isClosed = false

  /// - Returns: what the owner has to give up before it answers this assignment, because it replaces earlier ones.
  @discardableResult
  mutating func assigned(_ partitions: [KafkaPartition], by method: Method = .incremental) -> Set<KafkaPartition> {
    if case .assign(let unanswered) = owed { earlier.append(unanswered) }
    owed = .assign(Set(partitions))
    return method == .whole ? earlier.reduce(held) { $0.union($1) } : []
  }

  mutating func revoked(_ partitions: [KafkaPartition]) { owed = .release(Set(partitions)) }

  /// The owner wants to read partitions.
  /// - Throws: if an assignment is owed and this is not it, or if a partition is held already.
  mutating func assign(_ partitions: Set<KafkaPartition>) throws(KafkaError) {
    if isClosed { throw .misuse("the Kafka consumer is closed") }
    switch earlier.first.map(Owed.assign) ?? owed {
    case .nothing: break
    case .assign(let expected):
      guard expected == partitions else {
        throw .misuse("the group gave \(expected.sorted()), and \(partitions.sorted()) were assigned")
      }
    case .release(let expected): throw .misuse("the group wants \(expected.sorted()) released first")
    }
    if let twice = held.intersection(partitions).min() { throw .misuse("\(twice) is assigned already") }
    held.formUnion(partitions)
    if earlier.isEmpty { owed = .nothing } else { earlier.removeFirst() }
  }

  /// The owner has ended reading partitions. Returns those that were held.
  mutating func release(_ partitions: Set<KafkaPartition>) throws(KafkaError) -> Set<KafkaPartition> {
    switch owed {
    case .nothing, .assign: break
    case .release(let expected):
      guard expected == partitions else {
        throw .misuse("the group revokes \(expected.sorted()), and \(partitions.sorted()) were released")
      }
      owed = .nothing
    }
    let released = held.intersection(partitions)
    held.subtract(partitions)
    return released
  }

  /// Returns everything that was held.
  mutating func closed() -> Set<KafkaPartition> {
    isClosed = true
    owed = .nothing
    earlier = []
    defer { held = [] }
    return held
  }
}
