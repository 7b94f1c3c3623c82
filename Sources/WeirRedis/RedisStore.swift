import WeirCore

/// The keys of a state table on a server, as one worker or reader uses them. Every call blocks.
final class RedisStore: @unchecked Sendable {
  // Unchecked: used by the table's one thread.
  let keys: RedisKeys
  private let link: RedisLink
  private let random: any RandomSource
  private let isReader: Bool
  private let notice: @Sendable (String) -> Void
  private var writer: Writer?
  /// Writes that were acknowledged are missing: nothing is written before the store is opened again.
  private var isLost = false

  /// Of the layout of the keys.
  private static let format = "1"

  /// What says whether the server still has what this worker wrote.
  private struct Writer {
    var id: String
    /// Of the store: a new one is drawn when the store is made.
    var incarnation: [UInt8]
    /// Of the last write that was sent. None is used twice: an attempt whose reply was lost may have its effect.
    var number: Int64 = 0
    /// Of the last write that was acknowledged.
    var acknowledged: Int64 = 0
  }

  init(_ link: RedisLink, _ keys: RedisKeys, isReader: Bool, random: any RandomSource, notice: @escaping @Sendable (String) -> Void) {
    (self.link, self.keys, self.isReader, self.random, self.notice) = (link, keys, isReader, random, notice)
  }

  var wasConnected: Bool { link.wasConnected }

  func close() {
    if let writer { _ = try? link.exchange([RedisCommand("DEL", keys.writer(writer.id))]) }
    writer = nil
    link.close()
  }

  // MARK: Open

  /// Takes the store as it is, and makes it where it is missing or keys of it are.
  func open() throws(RedisFailure) {
    if let old = writer { _ = try link.exchange([RedisCommand("DEL", keys.writer(old.id))]) }
    let tables = try self.tables()
    var call = ScriptCall(script: .open, keys: [keys.store, keys.meta, keys.names] + tables.flatMap { [keys.rows($0), keys.keys($0)] })
    call.arguments.append(id())
    call.arguments.append(RedisStore.format)
    for table in tables { call.arguments.append(table) }
    let reply = try ScriptReply(try run(call))
    guard reply.word == "OK" || reply.word == "NEW", let incarnation = reply.rest.first?.bytes else {
      guard reply.word == "FORMAT" else { throw .malformed }
      throw .refused(
        .storageRefused, "a later version of Weir wrote the state table there",
        advice: "Use that version, or another prefix for the state table.")
    }
    if reply.word == "NEW", reply.rest.last?.text == "1" {
      notice("keys of the state table were missing (an eviction, FLUSHALL?): it is rebuilt from the lake")
    }
    writer = Writer(id: id(), incarnation: incarnation)
    isLost = false
  }

  private func id() -> String {
    [random.next(), random.next()].map { number in
      let digits = String(number, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  func newID() -> String { id() }

  /// Tables that have rows, or had some, or are to have some: the first is known by a field of the key `store`, which may be lost.
  func tables() throws(RedisFailure) -> [String] {
    func names(_ key: String, _ prefix: String) throws(RedisFailure) -> [String] {
      let fields = try link.exchange([RedisCommand("HKEYS", key)])[0].items ?? []
      return fields.compactMap(\.text).filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    }
    return Set(try names(keys.store, "rows/") + names(keys.meta, "schema/")).sorted()
  }

  private func opened() throws(RedisFailure) -> Writer {
    if writer == nil { try open() }
    guard let writer, !isLost else { throw .lostWrites }
    return writer
  }

  // MARK: Requests

  /// Runs scripts that write, in one trip, each only if all before it had their effect: a script notices that the number of the one before
  /// it is not stored.
  /// - Returns: replies up to the first that is not `OK`.
  func write(_ calls: [ScriptCall]) throws(RedisFailure) -> [ScriptReply] {
    let writer = try opened()
    let first = [keys.store, keys.writer(writer.id), keys.meta, keys.names]
    for isWhole in [false, true] {
      var (commands, numbers) = ([RedisCommand](), [Int64]())
      for call in calls {
        let seen = numbers.last ?? writer.acknowledged
        let number = (self.writer?.number ?? 0) + 1
        self.writer?.number = number
        numbers.append(number)
        var stamp = RedisCommand()
        stamp.append(writer.incarnation)
        stamp.append(number)
        stamp.append(seen)
        // The server keeps the script for those after it.
        commands.append(call.command(isWhole: isWhole && commands.isEmpty, first: first, stamp: stamp))
      }
      let replies = try link.exchange(commands)
      if replies.contains(where: RedisStore.isMissingScript) { continue }
      return try acknowledge(replies, numbers)
    }
    throw .noScript
  }

  private func acknowledge(_ replies: [RedisReply], _ numbers: [Int64]) throws(RedisFailure) -> [ScriptReply] {
    var found: [ScriptReply] = []
    for (reply, number) in zip(replies, numbers) {
      do throws(RedisFailure) { found.append(try ScriptReply(reply)) } catch {
        if error == .lostWrites { isLost = true }
        throw error
      }
      guard found.last?.word == "OK" else { break }
      writer?.acknowledged = number
    }
    return found
  }

  /// Runs a script that reads.
  /// - Throws: `lostWrites` also where a worker finds no store.
  func read(_ call: ScriptCall) throws(RedisFailure) -> ScriptReply {
    if !isReader { _ = try opened() }
    do throws(RedisFailure) {
      let reply = try ScriptReply(try run(call))
      if reply.word == "NONE", !isReader { throw .lostWrites }
      return reply
    } catch {
      if error == .lostWrites { isLost = true }
      throw error
    }
  }

  private func run(_ call: ScriptCall) throws(RedisFailure) -> RedisReply {
    for isWhole in [false, true] {
      let reply = try link.exchange([call.command(isWhole: isWhole)])[0]
      if !RedisStore.isMissingScript(reply) { return reply }
    }
    throw .noScript
  }

  private static func isMissingScript(_ reply: RedisReply) -> Bool {
    if case .error = reply { return true }
    return false
  }
}
