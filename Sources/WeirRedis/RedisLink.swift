import WeirCore

/// The way to one server: connects when it is used, proves who it is, follows a cluster's redirections, and connects again after a failure.
///
/// Every call blocks.
final class RedisLink: @unchecked Sendable {
  // Unchecked: used by the table's one thread.
  private let server: RedisServer
  private let connector: any RedisConnector
  private let isReader: Bool
  private let notice: @Sendable (String) -> Void
  private var connection: (any RedisConnection)?
  /// Where the cluster says that the keys are; nil: at the server of the settings.
  private var node: (host: String, port: UInt16)?
  /// There was a connection.
  private(set) var wasConnected = false
  private var isNoticed = false

  private static let redirectionsMax = 5

  init(_ server: RedisServer, _ connector: any RedisConnector, isReader: Bool, notice: @escaping @Sendable (String) -> Void) {
    (self.server, self.connector, self.isReader, self.notice) = (server, connector, isReader, notice)
  }

  func close() {
    connection?.close()
    connection = nil
  }

  /// One reply to each command. Errors of a server that are not about the commands themselves are thrown.
  ///
  /// After a redirection all commands are sent to the other node: none of those that were redirected had an effect, and every request may
  /// be repeated.
  func exchange(_ commands: [RedisCommand]) throws(RedisFailure) -> [RedisReply] {
    for _ in 0..<RedisLink.redirectionsMax {
      do throws(RedisFailure) {
        let replies = try (try connected()).exchange(commands)
        let failures = replies.lazy.compactMap { if case .error(let text) = $0 { RedisFailure(reply: text) } else { nil } }
        guard let first = failures.first(where: { $0 != .noScript }) else { return replies }
        throw first
      } catch {
        if try !follow(error) { throw error }
      }
    }
    node = nil
    throw .moved(host: "", port: server.port)
  }

  /// - Returns: true: it is to be tried at another node.
  private func follow(_ failure: RedisFailure) throws(RedisFailure) -> Bool {
    switch failure {
    case .moved(let host, let port):
      close()
      node = (host.isEmpty ? node?.host ?? server.host : host, port)
      return true
    case .noAnswer, .malformed, .later:
      // A replica that refuses writes keeps its connections; after a failover the server's name leads to another one.
      close()
      node = nil
      return false
    default: return false
    }
  }

  // MARK: Connect

  private func connected() throws(RedisFailure) -> any RedisConnection {
    if let connection { return connection }
    do throws(RedisFailure) { return try opened() } catch {
      // A password that was replaced since it was read: once more, with the new one.
      guard case .refused(.storageRefused, _, _) = error, isRefusedPassword, server.refused?() == true else { throw error }
      return try opened()
    }
  }

  /// Whether the last connection ended with the server's answer to the password.
  private var isRefusedPassword = false

  private func opened() throws(RedisFailure) -> any RedisConnection {
    isRefusedPassword = false
    let connection = try connector.connect(host: node?.host ?? server.host, port: node?.port ?? server.port)
    do throws(RedisFailure) { try begin(connection) } catch {
      connection.close()
      throw error
    }
    self.connection = connection
    wasConnected = true
    return connection
  }

  private func begin(_ connection: any RedisConnection) throws(RedisFailure) {
    if let password = try read(server.password) {
      var command = RedisCommand("AUTH")
      if let user = try read(server.user) { command.append(user) }
      command.append(password)
      let replies = try connection.exchange([command])
      isRefusedPassword = replies.contains { if case .error = $0 { true } else { false } }
      try RedisLink.check(replies, isSecret: true)
    }
    if server.database != 0 { try RedisLink.check(try connection.exchange([RedisCommand("SELECT", String(server.database))])) }
    if !isReader { try checkPolicy(connection) }
  }

  private func read(_ secret: RedisServer.Text?) throws(RedisFailure) -> String? {
    do { return try secret?() } catch {
      throw .refused(.config, (error as? WeirError)?.message ?? "a secret cannot be read", advice: "Provide the secret and run again.")
    }
  }

  private static func check(_ replies: [RedisReply], isSecret: Bool = false) throws(RedisFailure) {
    for case .error(let text) in replies { throw RedisFailure(reply: text, isSecret: isSecret) }
  }

  /// A server that removes keys when its memory is full would remove tables. `INFO` says it where `CONFIG` is forbidden.
  private func checkPolicy(_ connection: any RedisConnection) throws(RedisFailure) {
    let reply = try connection.exchange([RedisCommand("INFO", "memory")])[0]
    if case .error(let text) = reply {
      if case .later(let why) = RedisFailure(reply: text) { throw .later(why) }
      if case .refused(.storageRefused, let why, let advice) = RedisFailure(reply: text), text.hasPrefix("NOAUTH") {
        throw .refused(.storageRefused, why, advice: advice)
      }
    }
    let fields = RedisInfo(reply.text ?? "")
    guard let most = fields["maxmemory"], let policy = fields["maxmemory_policy"] else {
      if !isNoticed {
        notice("the server does not say whether it evicts keys (INFO memory); its maxmemory-policy must be noeviction")
      }
      isNoticed = true
      return
    }
    guard most == "0" || policy == "noeviction" else {
      throw .refused(
        .storageRefused, "it removes keys when its memory is full (maxmemory-policy \(policy.shortened(toBytes: 40)))",
        advice: "Set the server's maxmemory-policy to noeviction, or use another server for the state table.")
    }
  }
}

/// The lines `NAME:VALUE` of an `INFO` reply.
package struct RedisInfo {
  private var fields: [Substring: Substring] = [:]

  package init(_ text: String) {
    for line in text.split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2 { fields[parts[0]] = parts[1] }
    }
  }

  package subscript(_ name: String) -> String? { fields[name[...]].map(String.init) }
}
