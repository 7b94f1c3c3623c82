import WeirCore

@testable import WeirRedis

/// What the scripts of ``RedisScript`` do, in Swift: the same steps in the same order. Only a real server runs the Lua texts (see
/// ``RealServerTests``, and `redis_state_survives_kills.py`).
extension RedisMemory {
  static func run(_ script: RedisScript, _ keys: [String], _ arguments: [[UInt8]], _ contents: inout Contents) -> RedisReply {
    var call = Call(keys: keys, arguments: arguments, contents: contents)
    let reply = call.run(script)
    contents = call.contents
    return reply
  }

  struct Call {
    let keys: [String]
    let arguments: [[UInt8]]
    var contents: Contents
    var at = 0

    mutating func run(_ script: RedisScript) -> RedisReply {
      switch script {
      case .open: open()
      case .claim: head() ?? claim()
      case .write: head() ?? owners() ?? write()
      case .retract: head() ?? owners() ?? retract()
      case .replace: head() ?? owners() ?? replace()
      case .collect: head() ?? owners() ?? collect()
      case .confirm: head() ?? done()
      case .value: found() ?? (hash(1).count == count(0, "values") ?? 0 ? say("OK", .bulk(hash(1)[arguments[0]])) : say("LOST"))
      case .values: found() ?? values()
      case .row: found() ?? row()
      case .page: found() ?? page()
      case .ahead: ahead()
      }
    }

    // MARK: Parts

    func say(_ word: String, _ rest: RedisReply...) -> RedisReply { .array([.bulk(Array(word.utf8))] + rest) }
    func hash(_ key: Int) -> [[UInt8]: [UInt8]] { contents.hashes[keys[key]] ?? [:] }
    func set(_ key: Int) -> Set<[UInt8]> { contents.sets[keys[key]] ?? [] }
    func field(_ key: Int, _ name: String) -> [UInt8]? { contents.hashes[keys[key]]?[Array(name.utf8)] }
    func count(_ key: Int, _ name: String) -> Int? { field(key, name).flatMap { Int(String(decoding: $0, as: UTF8.self)) } }
    func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    mutating func put(_ key: Int, _ name: String, _ value: [UInt8]) { contents.hashes[keys[key], default: [:]][Array(name.utf8)] = value }

    mutating func take() -> [UInt8] {
      at += 1
      return arguments[at - 1]
    }

    mutating func number() -> Int { Int(text(take())) ?? 0 }

    mutating func head() -> RedisReply? {
      at = 3
      guard field(0, "incarnation") == arguments[0] else { return say("LOST") }
      let done = contents.strings[keys[1]].flatMap { Int(text($0)) } ?? 0
      if done < Int(text(arguments[2])) ?? 0 { return say("LOST") }
      let values = count(0, "values") ?? 0
      return hash(2).count == values && set(3).count == values ? nil : say("LOST")
    }

    mutating func done(_ skipped: Int? = nil) -> RedisReply {
      contents.strings[keys[1]] = arguments[1]
      return skipped.map { say("OK", .bulk(Array(String($0).utf8))) } ?? say("OK")
    }

    mutating func owners() -> RedisReply? {
      for _ in 0..<number() {
        let (name, owner) = (take(), take())
        if hash(2)[name] != owner { return say("FENCED", .bulk(name)) }
      }
      return nil
    }

    mutating func value(_ name: [UInt8], _ value: [UInt8]) {
      contents.hashes[keys[2], default: [:]][name] = value
      if contents.sets[keys[3], default: []].insert(name).inserted { put(0, "values", Array(String((count(0, "values") ?? 0) + 1).utf8)) }
    }

    mutating func add(_ more: Int, to table: String) {
      put(0, "rows/" + table, Array(String((count(0, "rows/" + table) ?? 0) + more).utf8))
    }

    func fence(_ row: [UInt8]) -> Fence? {
      RedisRow.decode(Array(row.prefix(16)) + [0, 0, 0], table: "", key: []).map(\.fence)
    }

    // MARK: Writes

    mutating func open() -> RedisReply {
      if let format = field(0, "format"), format != arguments[1] { return say("FORMAT", .bulk(format)) }
      let old = field(0, "incarnation")
      let values = count(0, "values") ?? 0
      var isWhole = old != nil && hash(1).count == values && set(2).count == values
      for (t, name) in arguments.dropFirst(2).enumerated() {
        let count = count(0, "rows/" + text(name)) ?? 0
        if hash(3 + 2 * t).count != count || set(4 + 2 * t).count != count { isWhole = false }
      }
      if let old, isWhole { return say("OK", .bulk(old)) }
      let had = old != nil || !hash(1).isEmpty
      for key in keys { contents.remove(key) }
      put(0, "incarnation", arguments[0])
      put(0, "format", arguments[1])
      if old == nil, had { put(0, "remains", Array("1".utf8)) }
      return say("NEW", .bulk(arguments[0]), .bulk(Array((had ? "1" : "0").utf8)))
    }

    mutating func claim() -> RedisReply {
      let claims = (0..<number()).map { _ in (name: take(), owner: take(), number: take()) }
      for (i, claim) in claims.enumerated() {
        let stored = hash(2)[Array("number/".utf8) + claim.name].flatMap { Int64(text($0)) }
        if let stored, Int64(text(claim.number)) ?? 0 < stored { return say("LATE", .bulk(Array(String(i).utf8))) }
      }
      for claim in claims {
        value(claim.name, claim.owner)
        value(Array("number/".utf8) + claim.name, claim.number)
      }
      return done()
    }

    mutating func write() -> RedisReply {
      let meta = (0..<number()).map { _ in (take(), take()) }
      let tables = (0..<number()).map { _ in text(take()) }
      for (t, name) in tables.enumerated() where !name.isEmpty {
        let (rows, index) = (4 + 2 * t, 5 + 2 * t)
        guard let count = count(0, "rows/" + name) else {
          contents.remove(keys[rows])
          contents.remove(keys[index])
          continue
        }
        if hash(rows).count != count || set(index).count != count { return say("LOST") }
      }
      var skipped = 0
      for _ in 0..<number() {
        let (t, bound, rows) = (number() - 1, take(), number())
        var added = 0
        for _ in 0..<rows {
          let (key, row) = (take(), take())
          let old = hash(4 + 2 * t)[key]
          if let old, let stored = fence(old), let new = fence(bound), stored > new {
            skipped += 1
            continue
          }
          contents.hashes[keys[4 + 2 * t], default: [:]][key] = row
          if old == nil, contents.sets[keys[5 + 2 * t], default: []].insert(key).inserted { added += 1 }
        }
        if !tables[t].isEmpty { add(added, to: tables[t]) }
      }
      for (name, bytes) in meta { value(name, bytes) }
      return done(skipped)
    }

    mutating func retract() -> RedisReply {
      let (name, lane, beyond) = (text(take()), text(take()), take())
      for _ in 0..<number() {
        let (key, has, row) = (take(), take(), take())
        guard let old = hash(4)[key], isAhead(old, lane, beyond) else { continue }
        if text(has) == "1" {
          contents.hashes[keys[4]]?[key] = row
        } else {
          contents.hashes[keys[4]]?[key] = nil
          contents.sets[keys[5]]?.remove(key)
          add(-1, to: name)
        }
      }
      return done()
    }

    mutating func collect() -> RedisReply {
      let (name, from) = (text(take()), take())
      var lanes: [String: Fence] = [:]
      for _ in 0..<number() {
        let (lane, bound) = (text(take()), take())
        lanes[lane] = fence(bound)
      }
      guard let count = count(0, "rows/" + name) else { return collected(0, nil) }
      if hash(4).count != count || set(5).count != count { return say("LOST") }
      let names = range(5, from: from).prefix(1000)
      var gone = 0
      for key in names {
        guard let row = hash(4)[key].flatMap({ RedisRow.decode($0, table: "", key: []) }) else { return say("LOST") }
        guard row.value == nil, let bound = lanes[row.lane], row.fence <= bound else { continue }
        contents.hashes[keys[4]]?[key] = nil
        contents.sets[keys[5]]?.remove(key)
        gone += 1
      }
      if gone > 0 { add(-gone, to: name) }
      return collected(gone, names.count == 1000 ? names.last : nil)
    }

    private mutating func collected(_ gone: Int, _ last: [UInt8]?) -> RedisReply {
      _ = done()
      return say("OK", .bulk(Array(String(gone).utf8)), .bulk(last))
    }

    func isAhead(_ row: [UInt8], _ lane: String, _ beyond: [UInt8]) -> Bool {
      guard let stored = RedisRow.decode(row, table: "", key: []), let bound = fence(beyond) else { return false }
      return stored.fence > bound && stored.lane == lane
    }

    mutating func replace() -> RedisReply {
      let id = take()
      if field(0, "replacement") == id { return done() }
      let meta = (0..<number()).map { _ in (take(), take()) }
      let tables = (0..<number()).map { _ in (name: text(take()), has: text(take()) == "1") }
      for (t, table) in tables.enumerated() where set(7 + 4 * t).count != hash(6 + 4 * t).count || table.has == hash(6 + 4 * t).isEmpty {
        return say("LOST")
      }
      for (t, table) in tables.enumerated() {
        let (rows, index) = (hash(6 + 4 * t), set(7 + 4 * t))
        for key in keys[(4 + 4 * t)...(7 + 4 * t)] { contents.remove(key) }
        if !rows.isEmpty { (contents.hashes[keys[4 + 4 * t]], contents.sets[keys[5 + 4 * t]]) = (rows, index) }
        put(0, "rows/" + table.name, Array(String(rows.count).utf8))
      }
      put(0, "replaced", Array(String((count(0, "replaced") ?? 0) + 1).utf8))
      put(0, "replacement", id)
      for (name, bytes) in meta { value(name, bytes) }
      return done()
    }
  }
}

/// Those that only read.
extension RedisMemory.Call {
  /// Members in the order of their bytes, from `-`, `[BOUND` or `(BOUND`.
  private func range(_ key: Int, from bound: [UInt8]) -> [[UInt8]] {
    let start = Array(bound.dropFirst())
    let some = set(key).filter { member in
      switch bound.first {
      case UInt8(ascii: "["): !member.lexicographicallyPrecedes(start)
      case UInt8(ascii: "("): start.lexicographicallyPrecedes(member)
      default: true
      }
    }
    return some.sorted { $0.lexicographicallyPrecedes($1) }
  }

  /// nil: what is there does not count.
  private func rows(_ table: [UInt8]) -> Int? { count(0, "rows/" + text(table)) ?? (field(0, "remains") == nil ? 0 : nil) }

  func found() -> RedisReply? {
    if field(0, "incarnation") != nil { return nil }
    let isLeft = keys.contains { contents.hashes[$0]?.isEmpty == false || contents.sets[$0]?.isEmpty == false }
    return say(isLeft ? "LOST" : "NONE")
  }

  func values() -> RedisReply {
    let values = count(0, "values") ?? 0
    if hash(1).count != values || set(2).count != values { return say("LOST") }
    var out: [RedisReply] = []
    let names = range(2, from: arguments[1])
    for name in names.prefix(1000) where name.starts(with: arguments[0]) {
      guard let value = hash(1)[name] else { return say("LOST") }
      out += [.bulk(name), .bulk(value)]
    }
    let isFull = names.count >= 1000 && out.count == 2000
    return .array([.bulk(Array("OK".utf8)), .bulk(Array((isFull ? "1" : "0").utf8))] + out)
  }

  func row() -> RedisReply {
    guard let count = rows(arguments[0]) else { return say("OK", .bulk(nil)) }
    if hash(1).count != count { return say("LOST") }
    return say("OK", .bulk(hash(1)[arguments[1]]))
  }

  func page() -> RedisReply {
    let version = (field(0, "incarnation") ?? []) + Array("/\(count(0, "replaced") ?? 0)".utf8)
    guard let count = rows(arguments[0]) else { return say("OK", .bulk(version), .bulk(nil)) }
    let rows = hash(1)
    if rows.count != count || set(2).count != count { return say("LOST") }
    func most(_ i: Int) -> Int { Int(text(arguments[i])) ?? 0 }
    var (out, looks, bytes, last, next) = ([RedisReply](), 0, 0, [UInt8](), [UInt8]?.none)
    for key in range(2, from: arguments[2]) {
      guard key.starts(with: arguments[1]) else { break }
      if out.count / 2 == most(3) || looks == most(4) || bytes >= most(5) {
        next = last
        break
      }
      guard let row = rows[key] else { return say("LOST") }
      if text(arguments[6]) == "1" || row.count > 16 && row[16] != 0 { out += [.bulk(key), .bulk(row)] }
      (looks, bytes, last) = (looks + 1, bytes + key.count + row.count, key)
    }
    return .array([.bulk(Array("OK".utf8)), .bulk(version), .bulk(next)] + out)
  }

  func ahead() -> RedisReply {
    let names = range(1, from: arguments[0])
    let found = names.prefix(1000).filter { key in hash(0)[key].map { isAhead($0, text(arguments[1]), arguments[2]) } ?? false }
    return .array(
      [.bulk(Array("OK".utf8)), .bulk(names.count >= 1000 ? names[999] : nil)] + found.map { .bulk($0) })
  }
}
