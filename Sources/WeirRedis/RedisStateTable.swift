import WeirCore

/// The state table on a Redis server: workers of any host, readers in any process.
///
/// Rows are durable when the server's own settings say so (`appendonly`, `appendfsync`), and never by this table: where the server has
/// lost acknowledged writes, the next write notices, and the lanes write their rows again.
package final class RedisStateTable: StateTable {
  /// Bounds on work at once.
  package struct Limits: Sendable {
    /// Rows that one script writes.
    package var partRows = RedisWriteParts.rowsMax
    /// Scripts that are sent in one trip: each has about 1 MiB at most.
    package var partsAtOnce = 16
    /// Bytes of a row: what the server takes as one value (`proto-max-bulk-len`, unless it is set to less).
    package var rowBytesMax = 512 << 20
    package init() {}
  }

  let store: RedisStore
  let keys: RedisKeys
  let place: String
  let limits: Limits
  let fit: RedisRowFit
  /// Called between two trips of one write.
  let onPart: @Sendable () async throws -> Void
  private let isReader: Bool
  private let clock: any Clock
  private let random: any RandomSource
  private let thread: any BlockingRunner

  /// Does not connect: the first request does.
  /// - Parameters:
  ///   - prefix: of the table's keys: see ``RedisKeys``.
  ///   - isReader: never writes, and finds no table where there is none.
  ///   - thread: ONE thread: the connection stays on it.
  ///   - notice: receives what an operator should know and is not a failure.
  package convenience init(
    _ server: RedisServer, prefix: String, connector: any RedisConnector, isReader: Bool = false, limits: Limits = Limits(),
    clock: any Clock, random: any RandomSource, thread: any BlockingRunner, notice: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.init(
      server, prefix: prefix, connector: connector, isReader: isReader, limits: limits, clock: clock, random: random, thread: thread,
      notice: notice, onPart: {})
  }

  package init(
    _ server: RedisServer, prefix: String, connector: any RedisConnector, isReader: Bool = false, limits: Limits = Limits(),
    clock: any Clock, random: any RandomSource, thread: any BlockingRunner, notice: @escaping @Sendable (String) -> Void,
    onPart: @escaping @Sendable () async throws -> Void
  ) {
    keys = RedisKeys(prefix: prefix)
    fit = RedisRowFit(
      bytesMax: limits.rowBytesMax,
      oversize: OversizeRows(bound: "\(limits.rowBytesMax) (a value of Redis has at most 512 MiB)", notice: notice))
    place = server.place
    let link = RedisLink(server, connector, isReader: isReader, notice: notice)
    store = RedisStore(link, keys, isReader: isReader, random: random, notice: notice)
    (self.isReader, self.limits, self.onPart, self.clock, self.random, self.thread) = (isReader, limits, onPart, clock, random, thread)
  }

  // MARK: Requests

  /// Runs a request on the table's thread, and again where that may help.
  func request<T: Sendable>(_ body: @escaping @Sendable (RedisStore) throws -> T) async throws -> T {
    var retry = RedisRetry(now: clock.monotonicNanoseconds)
    while true {
      let (outcome, wasConnected) = try await thread.run { [store] in
        do { return (Result<T, RedisFailure>.success(try body(store)), true) } catch let failure as RedisFailure {
          return (.failure(failure), store.wasConnected)
        }
      }
      switch outcome {
      case .success(let value): return value
      case .failure(let failure):
        let patience = isReader || !wasConnected ? RedisRetry.patienceAtFirst : RedisRetry.patience
        let now = clock.monotonicNanoseconds
        guard !Task.isCancelled, let rest = retry.rest(after: failure, now: now, patience: patience, random: random.next()) else {
          throw error(failure)
        }
        await clock.sleep(nanoseconds: rest)
      }
    }
  }

  private func error(_ failure: RedisFailure) -> WeirError {
    guard isReader, failure == .lostWrites else { return failure.error(place) }
    return WeirError(
      .stateReplaced, "keys of the state table in \(place) are missing (an eviction, FLUSHALL?): it must be rebuilt",
      advice: "Nothing is lost in the lake: run the pipeline again, or \(.rebuildState). Both write all rows again.")
  }

  /// A reader found no table.
  var missing: WeirError {
    WeirError(
      .stateMissing, "there is no state table in \(place): the server has none of its keys",
      advice: "Check the address, the database and the prefix. If the keys were deleted, run the pipeline again: it writes all rows again.")
  }

  static func corrupt(_ place: String) -> WeirError {
    WeirError(
      .corrupt, "a row of the state table in \(place) is not what Weir writes",
      advice: "Another program wrote there: \(.rebuildState) recreates the table.")
  }

  package var oversizeRows: Int64 { fit.oversize.count }

  // MARK: Life

  /// Begins with the store as it is now: it may have been rebuilt, or have gone back to what it was some time ago.
  package func reopen() async throws { try await request { try $0.open() } }

  /// The server still has all that it acknowledged. Whether that is on its disk is a matter of its settings.
  package func sync() async throws {
    let ends = try await request { [place] store in
      try RedisStateTable.ended(try store.write([ScriptCall(script: .confirm, keys: [])]), place)
    }
    try ends?.throwing()
  }

  package func finish() async throws { try await sync() }

  package func close() async throws { try await thread.run { [store] in store.close() } }

  // MARK: Ends

  /// What a script that writes ended with, other than its effect.
  enum End: Sendable {
    case fenced(owner: String)
    case late(claim: Int)

    func throwing(_ claims: [StateClaim] = []) throws {
      switch self {
      case .fenced(let owner): throw StateWrite.fenced(owner)
      case .late(let number):
        guard claims.indices.contains(number) else { throw WeirError(.internal, "a script names claim \(number) of \(claims.count)") }
        throw claims[number].tooLate
      }
    }
  }

  /// - Returns: nil: all had their effect.
  static func ended(_ replies: [ScriptReply], _ place: String) throws -> End? {
    guard let last = replies.last else { return nil }
    switch last.word {
    case "OK": return nil
    case "FENCED": return .fenced(owner: last.rest.first?.text ?? "")
    case "LATE": return .late(claim: last.rest.first?.number.map { Int($0) } ?? -1)
    case "CORRUPT": throw corrupt(place)
    default: throw RedisFailure.malformed
    }
  }
}
