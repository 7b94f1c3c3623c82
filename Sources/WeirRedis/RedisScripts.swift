/// The Lua scripts, one for each kind of request. A script runs as a whole, and no other command runs meanwhile.
///
/// Scripts that write begin with three arguments: the incarnation of the store, the number of the write, and the number of the worker's
/// last write that was acknowledged. If the store has another incarnation or a smaller number, it lost acknowledged writes (it was emptied,
/// or a replica that lagged took its place), and nothing is written. Keys: `store`, `writer`, `meta`, `names`, then those of the tables.
package enum RedisScript: String, CaseIterable, Sendable {
  case open, claim, write, retract, replace, collect, confirm
  case value, values, row, page, ahead

  package var text: String {
    switch self {
    case .open: Lua.open
    case .claim: Lua.head + Lua.put + Lua.claim
    case .write: Lua.head + Lua.put + Lua.owners + Lua.larger + Lua.write
    case .retract: Lua.head + Lua.owners + Lua.larger + Lua.retract
    case .replace: Lua.head + Lua.put + Lua.owners + Lua.replace
    case .collect: Lua.head + Lua.owners + Lua.larger + Lua.collect
    case .confirm: Lua.head + Lua.confirm
    case .value: Lua.found + Lua.value
    case .values: Lua.found + Lua.values
    case .row: Lua.found + Lua.row
    case .page: Lua.found + Lua.page
    case .ahead: Lua.larger + Lua.ahead
    }
  }

  private static let digests = Dictionary(uniqueKeysWithValues: allCases.map { ($0, SHA1.hex($0.text)) })
  package var digest: String { RedisScript.digests[self] ?? "" }
}

/// A script with its keys and arguments.
struct ScriptCall: Sendable {
  var script: RedisScript
  /// Of a script that writes: those after the first four.
  var keys: [String]
  var arguments = RedisCommand()

  /// - Parameters:
  ///   - isWhole: with the text of the script, which the server does not have.
  ///   - first: keys before the script's own.
  ///   - stamp: what scripts that write begin with.
  func command(isWhole: Bool, first: [String] = [], stamp: RedisCommand? = nil) -> RedisCommand {
    var command = RedisCommand(isWhole ? "EVAL" : "EVALSHA", isWhole ? script.text : script.digest)
    command.append(first.count + keys.count)
    for key in first + keys { command.append(key) }
    if let stamp { command.append(all: stamp) }
    command.append(all: arguments)
    return command
  }
}

/// What a script replied: a word, and what follows it.
struct ScriptReply {
  var word: String
  var rest: ArraySlice<RedisReply>

  init(_ reply: RedisReply) throws(RedisFailure) {
    guard let items = reply.items, let word = items.first?.text else { throw .malformed }
    (self.word, rest) = (word, items.dropFirst())
    if word == "LOST" { throw .lostWrites }
  }
}
