import WeirCore

/// What was read, and what it showed, in three classes.
public struct VerifyResult: Sendable {
  public var entries: Int64 = 0
  public var files: Int64 = 0
  public var blobs: Int64 = 0
  public var commits: Int64 = 0
  public var bytes: Int64 = 0
  /// Damage. Each names a file and says what is wrong with it.
  public var problems: [Wording] = []
  /// What differs and is as it may be: tables that are behind the ledger, files that another program removed.
  public var notices: [Wording] = []
  /// What could not be looked at because the store gave an error.
  public var unread: [String] = []

  private static let damage: Set<WeirError.Code> = [
    .corrupt, .foreignTable, .tableAhead, .tableMissing, .topicAhead, .followerBehind, .ledgerCollected, .ledgerCorrupt, .ledgerDecision,
    .ledgerFormat, .ledgerReplaced,
  ]

  public init() {}

  /// 1 for damage; 2 when something could not be looked at; else 0.
  public var exitCode: Int32 { !problems.isEmpty ? 1 : unread.isEmpty ? 0 : 2 }

  /// Files an error under damage or under what could not be looked at.
  public mutating func add(_ error: WeirError) {
    if VerifyResult.damage.contains(error.code) {
      problems.append(Wording(error.message))
    } else if !unread.contains(error.message) {
      // A directory that cannot be read is met once for each of its files.
      unread.append(error.message)
    }
  }
}

extension VerifyResult {
  /// Reads an object, or a slice of it; counts its bytes.
  public mutating func look(_ lake: any ObjectStore, _ path: String, _ slice: (offset: Int64, count: Int)? = nil) async throws -> VerifyLook
  {
    do {
      let found =
        if let slice { try await lake.get(path, offset: slice.offset, count: slice.count) } else { try await lake.get(path) }
      guard let found else { return .missing }
      bytes += Int64(found.count)
      return .bytes(found)
    } catch let error as WeirError {
      add(error)
      return .unread
    }
  }

  /// Does a part of the work; a store's error ends the part and is in the result.
  public mutating func part(_ body: (inout Self) async throws -> Void) async throws {
    var next = self
    do { try await body(&next) } catch let error as WeirError { next.add(error) }
    self = next
  }
}

/// One look at an object.
public enum VerifyLook: Sendable {
  case bytes([UInt8])
  case missing
  /// The store gave an error, which is in the result.
  case unread
}
