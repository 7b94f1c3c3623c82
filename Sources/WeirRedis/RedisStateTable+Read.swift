import WeirCore

extension RedisStateTable {
  /// Attempts to see the tables while none of them is replaced.
  private static let momentsMax = 20

  package func read(table: String, key: [UInt8]) async throws -> StateRow? {
    var call = ScriptCall(script: .row, keys: [keys.store, keys.rows(table), keys.meta])
    call.arguments.append(table)
    call.arguments.append(key)
    guard let bytes = try await one(call) else { return nil }
    guard let row = RedisRow.decode(bytes, table: table, key: key) else { throw RedisStateTable.corrupt(place) }
    return row
  }

  package func readMeta(_ name: String) async throws -> [UInt8]? {
    var call = ScriptCall(script: .value, keys: [keys.store, keys.meta])
    call.arguments.append(name)
    return try await one(call)
  }

  private func one(_ call: ScriptCall) async throws -> [UInt8]? {
    let (bytes, isThere) = try await request { store in
      let reply = try store.read(call)
      return (reply.rest.first?.bytes, reply.word != "NONE")
    }
    guard isThere else { throw missing }
    return bytes
  }

  package func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])] {
    var found: [(name: String, value: [UInt8])] = []
    var start = RedisStateTable.start(Array(prefix.utf8))
    while true {
      var call = ScriptCall(script: .values, keys: [keys.store, keys.meta, keys.names])
      call.arguments.append(prefix)
      call.arguments.append(start)
      let items = try await request { [call] in
        let reply = try $0.read(call)
        return reply.word == "NONE" ? nil : Array(reply.rest)
      }
      guard let items else { throw missing }
      for i in stride(from: 1, to: items.count - 1, by: 2) {
        guard let name = items[i].text, let value = items[i + 1].bytes else { throw RedisFailure.malformed.error(place) }
        found.append((name, value))
      }
      guard items.first?.text == "1", let last = found.last else { return found }
      start = Array("(".utf8) + Array(last.name.utf8)
    }
  }

  /// The first bound of an index.
  private static func start(_ prefix: [UInt8]) -> [UInt8] { prefix.isEmpty ? Array("-".utf8) : Array("[".utf8) + prefix }

  // MARK: Pages

  package func page(of table: String, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) async throws -> StatePage {
    try await versioned(of: table, prefix: prefix, from: start, rowsMax: rowsMax).page
  }

  /// - Returns: also what changes when tables are replaced.
  private func versioned(
    of table: String, prefix: [UInt8] = [], from start: StateContinuation?, rowsMax: Int = StatePage.rowsMax, withTombstones: Bool = false
  ) async throws -> (page: StatePage, version: [UInt8]) {
    var call = ScriptCall(script: .page, keys: [keys.store, keys.rows(table), keys.keys(table), keys.meta])
    call.arguments.append(table)
    call.arguments.append(prefix)
    call.arguments.append(start.map { Array("(".utf8) + $0.bytes } ?? RedisStateTable.start(prefix))
    call.arguments.append(min(max(1, rowsMax), StatePage.rowsMax))
    call.arguments.append(StatePage.rowsMax)
    call.arguments.append(StatePage.bytesMax)
    call.arguments.append(withTombstones ? "1" : "0")
    let items = try await request { [call] in
      let reply = try $0.read(call)
      return reply.word == "NONE" ? nil : Array(reply.rest)
    }
    guard let items else { throw missing }
    guard items.count >= 2, let version = items[0].bytes else { throw RedisFailure.malformed.error(place) }
    var page = StatePage([], next: items[1].bytes.map { StateContinuation($0) })
    page.rows.reserveCapacity(items.count / 2)
    for i in stride(from: 2, to: items.count - 1, by: 2) {
      guard let key = items[i].bytes, let bytes = items[i + 1].bytes,
        let row = RedisRow.decode(bytes, table: table, key: key, lane: page.rows.last?.lane ?? "")
      else { throw RedisStateTable.corrupt(place) }
      page.rows.append(row)
    }
    return (page, version)
  }

  /// Rows that are written meanwhile come as they are then; where tables are replaced meanwhile, all is read again.
  package func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T) {
    for _ in 0..<RedisStateTable.momentsMax {
      let before = try await meta()
      var result = first
      let began = try await version()
      var isSame = true
      for table in tables where isSame {
        var start: StateContinuation?
        repeat {
          let (page, version) = try await versioned(of: table, from: start)
          isSame = version == began
          for row in page.rows where isSame { body(&result, row) }
          start = page.next
        } while start != nil && isSame
      }
      guard isSame else { continue }
      let after = try await meta()
      guard try await version() == began else { continue }
      return (before.filter { after[$0.key] == $0.value }, result)
    }
    throw WeirError(
      .storage, "the state table in \(place) was replaced during each of \(RedisStateTable.momentsMax) attempts to read it",
      advice: "Wait until its rebuild has ended, then run again.")
  }

  private func meta() async throws -> [String: [UInt8]] {
    Dictionary(try await listMeta(prefix: "").map { ($0.name, $0.value) }) { first, _ in first }
  }

  private func version() async throws -> [UInt8] { try await versioned(of: "", from: nil, rowsMax: 1).version }

  // MARK: Check

  /// Reads every row. The server keeps its own files; what is found here is what another program wrote, or what was removed.
  package func check() async throws {
    _ = try await version()
    _ = try await listMeta(prefix: "")
    for table in try await request({ try $0.tables() }) {
      var start: StateContinuation?
      repeat {
        start = try await versioned(of: table, from: start, withTombstones: true).page.next
      } while start != nil
    }
  }
}
