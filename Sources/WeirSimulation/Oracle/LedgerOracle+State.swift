import WeirCore
import WeirEngine
import WeirProtocol

// MARK: - State table

extension LedgerOracle {
  /// What the state table has of a lane never goes back: readers would take committed rows for uncommitted ones.
  func stateMark(_ name: String, _ mark: LedgerMark?, replacing old: LedgerMark?) {
    guard name.hasPrefix(LedgerMark.prefix), let mark, let old else { return }
    if (mark.generation, mark.position) < (old.generation, old.position) {
      fail("the state table's mark \(name) went back from \(old.generation)/\(old.position) to \(mark.generation)/\(mark.position)")
    }
  }

  func compare(_ found: [String: Tally], _ expected: [String: Tally], _ table: String) {
    for key in Set(found.keys).union(expected.keys).sorted() where found[key] != expected[key] {
      fail(
        "the state table has \(found[key].map { "\($0)" } ?? "nothing") for \(table) \(key) instead of \(expected[key].map { "\($0)" } ?? "nothing")"
      )
    }
  }
}

/// What a row of a simulated state table says.
enum StateText {
  static func group(_ key: [UInt8]) -> String? {
    guard case .string(let text)? = try? StateKey.decode(key, types: [.string]).first else { return nil }
    return text
  }

  /// - Returns: nil: it cannot be read; the row is nil for a tombstone.
  static func row(_ value: [UInt8]?) -> Tally?? {
    guard let value else { return .some(nil) }
    return tally(value).map { .some($0) } ?? .none
  }

  static func text(_ row: Tally?) -> String { row.map { "\($0)" } ?? "nothing" }

  static func tally(_ value: [UInt8]) -> Tally? {
    guard let values = try? StateValue.decode(value), values.count == 2, case .int64(let rows) = values[0],
      case .decimal(let total, _, _) = values[1]
    else { return nil }
    return Tally(count: Int(rows), sum: Int(total))
  }
}
