import WeirCore

/// What a request to a server ended with, and what a caller may do about it.
package enum RedisFailure: Error, Sendable, Equatable {
  /// No connection, or it broke, or the reply did not come in time: it is unknown what the server did. The request is repeated.
  case noAnswer(String)
  /// The server will do it later: it loads its data, a script runs, a failover is in progress.
  case later(String)
  /// Another node of a cluster has the keys. An empty host: the same host.
  case moved(host: String, port: UInt16)
  /// The server does not have the script.
  case noScript
  /// The server refused, and will again.
  case refused(WeirError.Code, String, advice: String)
  /// What the server has is not what was written and acknowledged.
  case lostWrites
  /// A reply that no version of the server gives.
  case malformed

  package static func == (a: RedisFailure, b: RedisFailure) -> Bool { "\(a)" == "\(b)" }
}

extension RedisFailure {
  /// Of an error reply: a word, and a text.
  /// - Parameter isSecret: the command had a password, which some servers repeat in their error.
  package init(reply text: String, isSecret: Bool = false) {
    let word = String(text.prefix { $0 != " " }.prefix(32))
    let shown = isSecret ? word : RedisFailure.shown(text)
    switch word {
    case "LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "MISCONF", "NOREPLICAS", "ASK", "UNBLOCKED":
      self = .later(shown)
    case "MOVED": self = RedisFailure.moved(text) ?? .malformed
    case "NOSCRIPT": self = .noScript
    case "OOM":
      self = .refused(
        .fullDisk, "its memory is full: \(shown)", advice: "Raise the server's maxmemory, or remove other keys, and run again.")
    case "NOAUTH", "WRONGPASS":
      self = .refused(.storageRefused, "it refuses the user or the password (\(word))", advice: "Check the user and the password.")
    case "NOPERM":
      self = .refused(
        .storageRefused, "the user may not do this: \(shown)",
        advice: "Allow the user the commands and keys that the page on state tables lists.")
    default:
      // Old servers have no word for a wrong password.
      self =
        isSecret
        ? .refused(.storageRefused, "it refuses the user or the password (\(word))", advice: "Check the user and the password.")
        : .refused(.storageRefused, "it refuses a request: \(shown)", advice: RedisFailure.advice(text))
    }
  }

  private static func advice(_ reply: String) -> String {
    let needed = "Weir needs Redis 5 or later, with Lua scripts."
    guard reply.lowercased().contains("unknown command") else { return needed }
    return
      "\(needed) If this is a Sentinel (usually port 26379): name the primary, or a proxy or a name that leads to it."
  }

  /// Without the arguments that a server repeats: they may be rows.
  private static func shown(_ text: String) -> String {
    let end = text.firstRange(of: ", with args beginning")?.lowerBound ?? text.endIndex
    return String(text[..<end]).shortened(toBytes: 200)
  }

  /// `MOVED SLOT HOST:PORT`.
  private static func moved(_ text: String) -> RedisFailure? {
    let parts = text.split(separator: " ")
    guard parts.count >= 3, let colon = parts[2].lastIndex(of: ":"), let port = UInt16(parts[2][parts[2].index(after: colon)...]), port > 0
    else { return nil }
    let host = parts[2][..<colon].drop { $0 == "[" }.prefix { $0 != "]" }
    guard host.isEmpty || HostAddress.isHost(host) else { return nil }
    return .moved(host: String(host), port: port)
  }

  /// For the caller of the table.
  /// - Parameter place: of the table, without secrets.
  package func error(_ place: String) -> WeirError {
    switch self {
    case .noAnswer(let why):
      WeirError(
        .storage, "no answer from the state table's server in \(place): \(why)", advice: "Check that the server runs and is reachable.")
    case .later(let why):
      WeirError(
        .storage, "the state table's server in \(place) is not ready: \(why)",
        advice: "Wait until the server has loaded its data or its failover has ended, then run again.")
    case .moved:
      WeirError(
        .storage, "the nodes of the Redis cluster in \(place) name each other for the state table's keys",
        advice: "Check the state of the cluster, then run again.")
    case .noScript, .malformed:
      WeirError(
        .storageRefused, "the state table's server in \(place) gives replies that are not of Redis",
        advice: "Check that a Redis server has this address, and whether it needs TLS.")
    case .refused(let code, let why, let advice):
      WeirError(code, "the state table's server in \(place) failed: \(why)", advice: Wording(advice))
    case .lostWrites:
      WeirError(
        .stateReplaced, "the state table in \(place) no longer has what was written to it (a failover, an eviction, FLUSHALL?)",
        advice: "Nothing is lost in the lake: the worker writes the rows again when it begins again.")
    }
  }
}
