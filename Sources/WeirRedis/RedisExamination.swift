import WeirCore

/// Looks at the settings of a Redis server that is to keep a state table: eviction, persistence, its role, cluster, permissions. Writes and
/// removes keys of its own below the table's prefix.
package struct RedisExamination: Sendable {
  private let link: RedisLink
  private let prefix: String
  private let place: String
  private let random: any RandomSource
  private let thread: any BlockingRunner

  /// - Parameter thread: ONE thread.
  package init(_ server: RedisServer, prefix: String, connector: any RedisConnector, random: any RandomSource, thread: any BlockingRunner) {
    // As a reader: a server that evicts is to be reported together with all else.
    link = RedisLink(server, connector, isReader: true, notice: { _ in })
    (self.prefix, place, self.random, self.thread) = (prefix, server.place, random, thread)
  }

  package func run() async -> [StoreFinding] {
    do {
      return try await thread.run { [self] in
        defer { link.close() }
        return try findings()
      }
    } catch {
      let words = (error as? RedisFailure).map { "\($0.error(place))" } ?? "\(error)"
      return [StoreFinding(what: "the server answers", problem: words)]
    }
  }

  private func findings() throws(RedisFailure) -> [StoreFinding] {
    _ = try link.exchange([RedisCommand("EXISTS", key("check"))])
    var findings: [StoreFinding] = []
    let info = try info()
    findings += RedisExamination.server(info)
    findings += try slot(isCluster: info?["cluster_enabled"] == "1")
    return findings + [permissions()]
  }

  private func key(_ name: String) -> String { "{\(prefix)}:\(name)" }

  /// nil: the user may not see it.
  private func info() throws(RedisFailure) -> RedisInfo? {
    do throws(RedisFailure) {
      // Sections one by one: servers before version 7 accept one at a time.
      let sections = ["server", "memory", "persistence", "replication", "cluster"]
      let replies = try link.exchange(sections.map { RedisCommand("INFO", $0) })
      return RedisInfo(replies.compactMap(\.text).joined(separator: "\r\n"))
    } catch {
      guard case .refused = error else { throw error }
      return nil
    }
  }

  private func slot(isCluster: Bool) throws(RedisFailure) -> [StoreFinding] {
    guard isCluster else { return [] }
    do throws(RedisFailure) {
      let slot = try link.exchange([RedisCommand("CLUSTER", "KEYSLOT", key("store"))])[0].number
      return [StoreFinding(what: "all keys are in slot \(slot.map { String($0) } ?? "?") of the cluster, so one node has the whole table")]
    } catch {
      guard case .refused = error else { throw error }
      return [StoreFinding(what: "the server is a node of a cluster: one node has the whole table")]
    }
  }

  /// All commands of the table's scripts, on keys that are gone afterwards.
  private static let script = """
    local a, b = KEYS[1], KEYS[2]
    redis.call('SET', a, '1') redis.call('GET', a) redis.call('EXPIRE', a, 60) redis.call('PERSIST', a)
    redis.call('DEL', a, b) redis.call('HSET', a, 'f', 'v') redis.call('HGET', a, 'f') redis.call('HLEN', a) redis.call('HDEL', a, 'g')
    redis.call('RENAME', a, b) redis.call('EXISTS', b) redis.call('UNLINK', b)
    redis.call('ZADD', a, 0, 'm') redis.call('ZCARD', a) redis.call('ZRANGEBYLEX', a, '-', '+') redis.call('ZREM', a, 'm')
    return redis.call('DEL', a, b)
    """

  private func permissions() -> StoreFinding {
    let what = "the user may write the table"
    let id = String(random.next(), radix: 16)
    do throws(RedisFailure) {
      let command = RedisCommand("EVAL", RedisExamination.script, "2", key("check:\(id):a"), key("check:\(id):b"))
      let reply = try link.exchange([command])[0]
      if case .error(let text) = reply { throw RedisFailure(reply: text) }
      return StoreFinding(what: what)
    } catch {
      // Servers have this text for a command within a script, and no word.
      guard case .refused(_, let why, _) = error, why.contains("can't run this command") else {
        return StoreFinding(what: what, problem: "\(error.error(place))")
      }
      let advice = "Allow the user the commands and keys that the page on state tables lists."
      return StoreFinding(what: what, problem: "the server refuses a command of the table's scripts: \(why)\n  \(advice)")
    }
  }

  // MARK: Judgement

  /// - Parameter info: nil: the user may not see it.
  static func server(_ info: RedisInfo?) -> [StoreFinding] {
    guard let info, info["redis_version"] != nil || info["maxmemory_policy"] != nil else {
      return [
        StoreFinding(
          what: "the server's settings",
          notice: "are not known, since INFO is not allowed: its maxmemory-policy must be noeviction. Allow +info to have them checked")
      ]
    }
    return [eviction(info), persistence(info), role(info)].compactMap { $0 }
  }

  private static func eviction(_ info: RedisInfo) -> StoreFinding {
    let policy = Printable.text(info["maxmemory_policy"] ?? "unknown", bytesMax: 40)
    if policy == "noeviction" { return StoreFinding(what: "the server evicts no keys (maxmemory-policy noeviction)") }
    if info["maxmemory"] == "0" {
      return StoreFinding(
        what: "the server evicts no keys, since it has no maxmemory",
        notice: "its maxmemory-policy is \(policy): set it to noeviction before a maxmemory is set")
    }
    return StoreFinding(
      what: "eviction",
      problem:
        "the server removes keys when its memory is full (maxmemory-policy \(policy))\n  Set its maxmemory-policy to noeviction, or use "
        + "another server for the state table.")
  }

  private static func persistence(_ info: RedisInfo) -> StoreFinding {
    if info["aof_enabled"] == "1" { return StoreFinding(what: "the server writes an append-only file (appendonly yes)") }
    return StoreFinding(
      what: "persistence",
      notice:
        "the server has no append-only file: after each restart of it the lanes write all rows again. Set appendonly yes to avoid that")
  }

  private static func role(_ info: RedisInfo) -> StoreFinding? {
    guard info["role"] == "slave" else { return nil }
    return StoreFinding(
      what: "role", problem: "the server is a replica, which refuses writes\n  Use the address of the primary.")
  }
}
