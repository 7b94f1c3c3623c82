import Synchronization
import WeirCore

/// What every state table does, whatever keeps it: one suite for all kinds.
///
/// Each case begins with an empty table. A test runs all of them on its kind:
///
///     @Test(arguments: StateTableConformance.cases) func aKind(_ aCase: StateTableConformance.Case) async throws {
///       try await aCase.run(on: kind)
///     }
public enum StateTableConformance {
  /// A kind of state table, as the suite uses it.
  public struct Kind: Sendable {
    /// Makes an empty table, which calls the closure between two transactions of one write.
    let make: @Sendable (_ onPart: @escaping @Sendable () async throws -> Void) async throws -> any StateTable
    /// Ends the use of the table and opens it again, as the next process does.
    let reopen: @Sendable (any StateTable) async throws -> any StateTable
    /// This number of rows of about 100 bytes takes several transactions.
    let rowsOfParts: Int
    /// Bytes of a value that it takes.
    let valueBytesMax: Int

    /// - Parameters:
    ///   - rowsOfParts: number of rows of about 100 bytes each that take several transactions of one write.
    ///   - valueBytesMax: bytes of a value that it takes, if there is such a bound.
    ///   - reopen: ends the use of the table and opens it again, as the next process does.
    ///   - make: makes an empty table, which calls the closure between two transactions of one write, and ends the write with what that throws.
    public init(
      rowsOfParts: Int, valueBytesMax: Int = .max, reopen: @escaping @Sendable (any StateTable) async throws -> any StateTable,
      make: @escaping @Sendable (_ onPart: @escaping @Sendable () async throws -> Void) async throws -> any StateTable
    ) {
      (self.rowsOfParts, self.valueBytesMax, self.reopen, self.make) = (rowsOfParts, valueBytesMax, reopen, make)
    }
  }

  /// Something that every state table does.
  public struct Case: Sendable, CustomStringConvertible {
    public let description: String
    private let body: @Sendable (Subject) async throws -> Void

    init(_ description: String, _ body: @escaping @Sendable (Subject) async throws -> Void) {
      (self.description, self.body) = (description, body)
    }

    /// - Throws: ``Failure``, and what the table throws.
    public func run(on kind: Kind) async throws { try await body(try await Subject(kind)) }
  }

  /// What a table did not do.
  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  public static let cases = fenceCases + ownerCases + partCases + retractCases + replaceCases + readCases + pageCases + tombstoneCases
}

extension StateTableConformance {
  /// A new table, and what is common to the cases.
  final class Subject: Sendable {
    let kind: Kind
    let table: any StateTable
    private let interruption: Interruption

    init(_ kind: Kind) async throws {
      self.kind = kind
      let interruption = Interruption()
      self.interruption = interruption
      table = try await kind.make { try await interruption.strike() }
    }

    /// Does this between the first two transactions of the next write that takes several.
    func onNextPart(_ body: @escaping @Sendable () async throws -> Void) { interruption.next.withLock { $0 = body } }

    private final class Interruption: Sendable {
      let next = Mutex<(@Sendable () async throws -> Void)?>(nil)

      func strike() async throws {
        let body = next.withLock { next in
          defer { next = nil }
          return next
        }
        try await body?()
      }
    }

    /// Rows of one lane and fence; nil: a tombstone.
    func batch(
      _ rows: [(key: [UInt8], value: [UInt8]?)], table: String = "t", lane: String = "s/0", generation: Int64 = 0, _ position: Int64
    ) -> StateBatch {
      var batch = StateBatch(table: table, lane: lane, fence: Fence(generation: generation, position: position))
      for (key, value) in rows {
        if let value { batch.append(key: key[...]) { for byte in value { $0.write(byte) } } } else { batch.remove(key: key[...]) }
      }
      return batch
    }

    func batch(
      _ rows: [String: String?], table: String = "t", lane: String = "s/0", generation: Int64 = 0, _ position: Int64
    ) -> StateBatch {
      batch(
        rows.sorted { $0.key < $1.key }.map { (Array($0.key.utf8), $0.value.map { Array($0.utf8) }) }, table: table, lane: lane,
        generation: generation, position)
    }

    /// More rows than a transaction has.
    func many(_ value: String, _ position: Int64) -> StateBatch {
      batch(
        (0..<kind.rowsOfParts).map { (Array("key-\(10_000_000 + $0)".utf8), Array("\(value)\(String(repeating: ".", count: 60))".utf8)) },
        position)
    }

    /// Keys and values of all rows, by pages.
    func contents(_ name: String = "t", of table: (any StateTableReader)? = nil) async throws -> [String: String] {
      var rows: [String: String] = [:]
      try await (table ?? self.table).forEachRow(of: name) {
        rows[String(decoding: $0.key, as: UTF8.self)] = $0.value.map { String(decoding: $0, as: UTF8.self) }
      }
      return rows
    }

    func row(_ key: String, _ name: String = "t") async throws -> StateRow? { try await table.read(table: name, key: Array(key.utf8)) }

    func meta(_ name: String) async throws -> String? { try await table.readMeta(name).map { String(decoding: $0, as: UTF8.self) } }

    func claim(_ name: String, _ owner: String, _ number: Int64) async throws {
      try await table.claim([StateClaim(name: name, owner: Array(owner.utf8), number: number)])
    }

    func owners(_ name: String, _ owner: String) -> [(String, [UInt8])] { [(name, Array(owner.utf8))] }

    /// - Throws: ``Failure`` if `body` ends otherwise than with `state_fenced`.
    func expectFenced(_ what: String, _ body: () async throws -> Void) async throws {
      do { try await body() } catch let error as WeirError where error.code == .stateFenced { return }
      throw Failure(description: "\(what): not fenced")
    }
  }

  /// - Throws: ``Failure`` if they differ.
  static func expect<T: Equatable>(_ found: T, is expected: T, _ what: String) throws {
    guard found != expected else { return }
    throw Failure(
      description:
        "\(what): \(String(String(describing: found).prefix(300))) instead of \(String(String(describing: expected).prefix(300)))")
  }
}

/// Ends a request in a test.
struct Interrupted: Error {}
