import Synchronization
import WeirCore

@testable import WeirRedis

/// A Redis server in memory: connections, commands and faults. What the Lua scripts do is in `RedisMemory+Scripts.swift`, in Swift.
final class RedisMemory: RedisConnector {
  /// What a server has.
  struct Contents {
    var hashes: [String: [[UInt8]: [UInt8]]] = [:]
    /// Sorted sets whose scores are all 0.
    var sets: [String: Set<[UInt8]>] = [:]
    var strings: [String: [UInt8]] = [:]

    var keys: Set<String> { Set(hashes.keys).union(sets.keys).union(strings.keys) }

    mutating func remove(_ key: String) {
      hashes[key] = nil
      sets[key] = nil
      strings[key] = nil
    }
  }

  /// How the next command of a kind fails.
  enum Fault: Sendable, Equatable {
    /// Nothing is done, and the connection is lost.
    case lostRequest
    /// It is done, and the connection is lost.
    case lostReply
    /// Nothing is done.
    case error(String)
  }

  struct State {
    var contents = Contents()
    var scripts: Set<String> = []
    var connections = 0
    var commands: [String] = []
    var info = "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
    var password: String?
    /// By the number of the script call or command among all.
    var faults: [Fault] = []
    /// The faults are those of these commands and scripts; empty: of any.
    var faultsOf: Set<String> = []
    /// Replies instead of the server's own, whatever is asked.
    var refusesConnections = 0
    /// Ports of connections that were asked for.
    var ports: [UInt16] = []
  }

  let state = Mutex(State())
  /// Called after each command, with its name.
  let onCommand = Mutex<(@Sendable (String, inout State) -> Void)?>(nil)

  func with<T>(_ body: (inout State) -> sending T) -> T { state.withLock { body(&$0) } }

  func connect(host: String, port: UInt16) throws(RedisFailure) -> any RedisConnection {
    let refuses = with { state in
      state.connections += 1
      state.ports.append(port)
      guard state.refusesConnections > 0 else { return false }
      state.refusesConnections -= 1
      return true
    }
    if refuses { throw .noAnswer("Connection refused") }
    return Connection(self)
  }

  private final class Connection: RedisConnection {
    private let server: RedisMemory
    private let isOpen = Mutex(true)
    private let isKnown = Mutex(false)

    init(_ server: RedisMemory) { self.server = server }

    func close() { isOpen.withLock { $0 = false } }

    func exchange(_ commands: [RedisCommand]) throws(RedisFailure) -> [RedisReply] {
      guard isOpen.withLock({ $0 }) else { throw .noAnswer("the connection is closed") }
      var replies: [RedisReply] = []
      for command in commands {
        let reply = server.with { state -> RedisReply? in
          var known = isKnown.withLock { $0 }
          defer { isKnown.withLock { [known] in $0 = known } }
          return server.run(command.arguments, &state, &known)
        }
        guard let reply else {
          close()
          throw .noAnswer("Connection reset by peer")
        }
        replies.append(reply)
      }
      return replies
    }
  }

  /// - Returns: nil: the connection is lost.
  private func run(_ arguments: [[UInt8]], _ state: inout State, _ isKnown: inout Bool) -> RedisReply? {
    let name = String(decoding: arguments[0], as: UTF8.self)
    let script = name.hasPrefix("EVAL") ? RedisMemory.script(arguments[1]) : nil
    let label = script?.rawValue ?? name
    state.commands.append(label)
    var fault: Fault?
    if !state.faults.isEmpty, state.faultsOf.isEmpty || state.faultsOf.contains(label) { fault = state.faults.removeFirst() }
    switch fault {
    case .lostRequest: return nil
    case .error(let text): return .error(text)
    case .lostReply, nil: break
    }
    let reply = answer(name, script, arguments, &state, &isKnown)
    onCommand.withLock { $0 }?(label, &state)
    return fault == .lostReply ? nil : reply
  }

  private func answer(
    _ name: String, _ script: RedisScript?, _ arguments: [[UInt8]], _ state: inout State, _ isKnown: inout Bool
  ) -> RedisReply {
    if name == "AUTH" {
      isKnown = state.password.map { Array($0.utf8) == arguments.last } ?? false
      return isKnown ? .simple("OK") : .error("WRONGPASS invalid username-password pair or user is disabled.")
    }
    guard isKnown || state.password == nil else { return .error("NOAUTH Authentication required.") }
    switch name {
    case "SELECT": return .simple("OK")
    case "INFO": return .bulk(Array(state.info.utf8))
    case "DEL":
      state.contents.remove(String(decoding: arguments[1], as: UTF8.self))
      return .integer(1)
    case "HKEYS":
      let fields = state.contents.hashes[String(decoding: arguments[1], as: UTF8.self)] ?? [:]
      return .array(fields.keys.map { .bulk($0) })
    case "EVAL", "EVALSHA":
      guard let script else { return .error("NOSCRIPT No matching script. Please use EVAL.") }
      if name == "EVALSHA", !state.scripts.contains(script.digest) { return .error("NOSCRIPT No matching script. Please use EVAL.") }
      state.scripts.insert(script.digest)
      let count = Int(String(decoding: arguments[2], as: UTF8.self)) ?? 0
      let keys = arguments[3..<3 + count].map { String(decoding: $0, as: UTF8.self) }
      return RedisMemory.run(script, keys, Array(arguments[(3 + count)...]), &state.contents)
    default:
      return .error(
        "ERR unknown command '\(name)', with args beginning with: \(arguments.dropFirst().map { "'\(String(decoding: $0, as: UTF8.self))'" }.joined(separator: " "))"
      )
    }
  }

  private static func script(_ name: [UInt8]) -> RedisScript? {
    let name = String(decoding: name, as: UTF8.self)
    return RedisScript.allCases.first { $0.digest == name || $0.text == name }
  }
}
