import WeirCore

/// A connection to one server, for one thread at a time. Its calls block.
package protocol RedisConnection: AnyObject, Sendable {
  /// Sends all commands, and reads a reply to each.
  /// - Throws: ``RedisFailure/noAnswer(_:)`` and ``RedisFailure/malformed``: then the connection is of no further use.
  func exchange(_ commands: [RedisCommand]) throws(RedisFailure) -> [RedisReply]
  func close()
}

/// Opens connections.
package protocol RedisConnector: Sendable {
  /// Connects, with TLS where the server has it, and does nothing else. Blocks.
  func connect(host: String, port: UInt16) throws(RedisFailure) -> any RedisConnection
}

/// A server, and how a client proves who it is. Secrets are read when they are used.
package struct RedisServer: Sendable {
  package typealias Text = @Sendable () throws -> String

  package var host: String
  package var port: UInt16
  package var database: Int
  package var user: Text?
  package var password: Text?
  /// The server did not accept them. True: newer ones may be read now. nil: they never change.
  package var refused: (@Sendable () -> Bool)?
  /// For messages, without secrets.
  package var place: String

  package init(host: String, port: UInt16, database: Int = 0, user: Text? = nil, password: Text? = nil, place: String) {
    (self.host, self.port, self.database, self.user, self.password, self.place) = (host, port, database, user, password, place)
  }
}
