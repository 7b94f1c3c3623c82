import Foundation
import Testing
import WeirCore

@testable import WeirProtocol

/// Entries and snapshots in the format before (``LedgerFormat``), and in this one.
struct FormatTests {
  /// Written by the last version that wrote format 1.
  private func older(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Format1/\(name).json")))
  }

  @Test func anEntryOfTheFormatBeforeIsReadAndKeepsItsBytes() throws {
    let bytes = try older("entry")
    let entry = try LedgerEntry(bytes: bytes)
    #expect(entry.bytes == bytes)
    let file = try #require(entry.files(of: "gold/by_user").first)
    guard case .delta(let stats) = file.stats else {
      Issue.record("its statistics are \(file.stats)")
      return
    }
    #expect(stats["numRecords"]?.int == file.rows && stats["minValues"]?["user"] != nil)
  }

  @Test func aSnapshotOfTheFormatBeforeIsReadAndWrittenInThisOne() throws {
    let bytes = try older("snapshot")
    let fold = try LedgerFold(bytes: bytes)
    #expect(fold.number == 7 && fold.lanes.count == 3)
    #expect(fold.bytes != bytes)
    #expect(try LedgerFold(bytes: fold.bytes) == fold)
  }

  @Test func otherFormatsAreRefused() throws {
    let text = String(decoding: try older("entry"), as: UTF8.self)
    for format in [0, 3, -1] {
      let other = Array(text.replacing("{\"format\":1,", with: "{\"format\":\(format),").utf8)
      do {
        _ = try LedgerEntry(bytes: other)
        Issue.record("format \(format) is read")
      } catch {
        #expect(error.code == .ledgerFormat && error.message.contains("reads 1 to 2"), "\(error)")
      }
    }
    // The same members under the number of the other format, with a right hash.
    let changed = text.replacing("{\"format\":1,", with: "{\"format\":2,")
    let hash = changed.range(of: "\"hash\":\"", options: .backwards)!.upperBound
    let plain = String(changed[..<hash]) + "\"}\n"
    let sealed = String(changed[..<hash]) + ContentHash(of: Array(plain.utf8)).hex + "\"}\n"
    #expect(throws: WeirError.self) { try LedgerEntry(bytes: Array(sealed.utf8)) }
  }

  /// Files of several shapes: bounds of all types, none, no statistics at all, and those of another table's columns.
  @Test func theColumnsOfATablesFilesAreNamedOnceAndEachFileKeepsItsStatistics() throws {
    let genesis = Genesis(ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    let fold = try LedgerFold(genesis: genesis.sealed(commitID: "0", worker: "w"))
    func stats(_ n: Int64) -> [ColumnStats] {
      [
        ColumnStats(
          name: "amount", type: .decimal(precision: 12, scale: 2), nulls: n, min: .decimal(-5, precision: 12, scale: 2), max: nil),
        ColumnStats(name: "x", type: .double, nulls: 0, nans: n, min: n > 1 ? .double(-.infinity) : nil, max: n > 1 ? .double(0.1) : nil),
        ColumnStats(name: "note", type: .string, nulls: 0, min: .string(""), max: .string(String(repeating: "z", count: 63 + Int(n)))),
        ColumnStats(name: "flag", type: .bool, nulls: n, min: n == 0 ? .bool(false) : nil, max: nil),
        ColumnStats(name: "raw", type: .binary, nulls: 0, min: .binary([1]), max: nil),
      ]
    }
    var all = (0..<4).map { FileStats.columns(stats($0)) } + [.none]
    var draft = EntryDraft(commitID: "1", worker: "w", planHash: "p")
    func files(_ stats: [FileStats]) -> [DataFile] {
      stats.enumerated().map { DataFile(path: "t/\($0.offset)", rows: 9, bytes: 9, hash: "", stats: $0.element) }
    }
    draft.tables = [TableCommit(table: "t", files: files(all + [.columns(Array(stats(0).dropLast()))]))]
    draft.tables.append(TableCommit(table: "u", files: files([.columns([])])))
    let bytes = draft.sealed(on: fold).bytes
    #expect(String(decoding: bytes, as: UTF8.self).components(separatedBy: "\"amount\"").count == 2)
    let entry = try LedgerEntry(bytes: bytes)
    all.append(.none)
    #expect(entry.files(of: "t").map(\.stats) == all)
    #expect(entry.files(of: "u").map(\.stats) == [.columns([])])
    #expect(entry.bytes == bytes)
  }

  @Test func longTextsAreCutAndBoundsThatAreNotOfTheTypeAreLeftOut() {
    let long = String(repeating: "é", count: 63) + "abc"
    let cut = ColumnStats(name: "c", type: .string, nulls: 0, min: .string(long), max: .string(long))
    #expect(cut.min == .string(String(long.prefix(64))) && cut.max == cut.min && cut.isMaxCut)
    let whole = ColumnStats(name: "c", type: .string, nulls: 0, min: .string("a"), max: .string(String(long.prefix(64))))
    #expect(!whole.isMaxCut)
    let other = ColumnStats(name: "c", type: .int64, nulls: 0, min: .string("a"), max: .double(1))
    #expect(other.min == nil && other.max == nil)
    #expect(ColumnStats(name: "c", type: .binary, nulls: 0, min: .binary([1]), max: .binary([2])).min == nil)
  }
}
