import Foundation
import Testing
import WeirCore
import WeirLocal

/// Where files of a plain capture end.
struct CaptureSeamTests {
  /// With and without a final line end, empty, with line ends of Windows, with a byte order mark, with a lone carriage return.
  private static let parts = [
    "{\"a\":1}\n{\"a\":2}", "{\"a\":3}\n", "", "{\"a\":4}\r\n{\"a\":5}\r", "\n{\"a\":6}", "\u{FEFF}{\"a\":7}\n\n", "{\"a\":8}", "",
    "{\"a\":9}",
  ].map { Array($0.utf8) }

  /// Splits each file by itself.
  private func expected(_ parts: [[UInt8]]) -> [ReadRecord] {
    var records: [ReadRecord] = []
    var position: Int64 = 0
    for part in parts {
      var lines = part.split(separator: 0x0A, omittingEmptySubsequences: false)
      if lines.last?.isEmpty == true { lines.removeLast() }
      for line in lines { records.append(ReadRecord(position: position + Int64(line.startIndex), bytes: Array(line))) }
      position += Int64(part.count)
    }
    return records
  }

  /// Positions where a file ends within a line, and bytes follow.
  private func openEnds(_ parts: [[UInt8]]) -> [Int64] {
    var position: Int64 = 0
    var ends: [Int64] = []
    for (number, part) in parts.enumerated() {
      position += Int64(part.count)
      if let last = part.last, last != 0x0A, parts[(number + 1)...].contains(where: { !$0.isEmpty }) { ends.append(position) }
    }
    return ends
  }

  private func files(_ parts: [[UInt8]], in home: CaptureFiles) throws -> [String] {
    try parts.enumerated().map { try home.make("part-\($0)", $1) }
  }

  @Test func theEndOfAFileEndsARecordWhateverTheBlocksAndCuts() async throws {
    let home = try CaptureFiles()
    let files = try files(CaptureSeamTests.parts, in: home)
    for cut in [1, 10, 17, 1000] as [Int64] {
      var cuts: [Int64: Hash128]?
      for block in [1, 3, 7, 8, 16, 1000] {
        var probe = try CaptureProbe(files, cut: cut, block: block)
        let read = try await probe.all()
        #expect(read.records == expected(CaptureSeamTests.parts))
        #expect(cuts == nil || cuts == read.cuts)
        cuts = read.cuts
      }
    }
  }

  @Test func aRunResumesAtEveryCutWithTheSameRecords() async throws {
    let home = try CaptureFiles()
    let files = try files(CaptureSeamTests.parts, in: home)
    var probe = try CaptureProbe(files, cut: 1)
    let whole = try await probe.all()
    #expect(whole.cuts.count >= whole.records.count - 1)
    for (position, hash) in whole.cuts {
      var probe = try CaptureProbe(files, start: position, prefix: hash, cut: 1, block: 5)
      let rest = try await probe.all()
      #expect(rest.records == whole.records.filter { $0.position >= position })
      for (at, hash) in rest.cuts { #expect(whole.cuts[at] == hash) }
    }
  }

  /// The same bytes in other files are other records where a file ended within a line: that is seen, and not read on.
  @Test func otherFilesOfTheSameBytesAreRefusedOnceTheirRecordsDiffer() async throws {
    let home = try CaptureFiles()
    let parts = CaptureSeamTests.parts
    let files = try files(parts, in: home)
    let joined = try home.make("joined", parts.flatMap { $0 })
    let ends = openEnds(parts)
    var probe = try CaptureProbe(files, cut: 1)
    for (position, hash) in try await probe.all().cuts {
      var other = try CaptureProbe([joined], start: position, prefix: hash, cut: 1)
      if ends.contains(where: { $0 <= position }) {
        let error = await #expect(throws: WeirError.self) { try await other.all() }
        #expect(error?.code == .captureChanged)
      } else {
        _ = try await other.all()
      }
    }
    // The other way round: a file that ends within a record that was consumed.
    var whole = try CaptureProbe([joined], cut: 1)
    let cuts = try await whole.all().cuts
    let last = try #require(cuts.keys.max())
    var split = try CaptureProbe(files, start: last, prefix: cuts[last], cut: 1)
    let error = await #expect(throws: WeirError.self) { try await split.all() }
    #expect(error?.code == .captureChanged)
  }

  @Test func joinedFilesAreOneSequenceOfBytes() async throws {
    let home = try CaptureFiles()
    let bytes = Array((0..<50).map { "{\"n\":\($0)}" }.joined(separator: "\n").utf8)
    let whole = try home.make("whole", bytes)
    let parts = stride(from: 0, to: bytes.count, by: 13).map { Array(bytes[$0..<min(bytes.count, $0 + 13)]) }
    let files = try files(parts, in: home)
    var one = try CaptureProbe([whole], cut: 40)
    let expected = try await one.all()
    var several = try CaptureProbe(files, cut: 40, block: 9, fileEnds: .join)
    let read = try await several.all()
    #expect(read.records == expected.records && read.cuts == expected.cuts)
    // Files that end with line ends have the same hashes by both rules.
    var other = try CaptureProbe([whole], cut: 40, fileEnds: .join)
    #expect(try await other.all().cuts == expected.cuts)
  }

  /// Each run leaves the last file's unfinished line; when another file follows, its end has ended a record.
  @Test func aCaptureThatGrowsFileByFileHasTheRecordsOfOneRun() async throws {
    let home = try CaptureFiles()
    let parts = CaptureSeamTests.parts
    let files = try files(parts, in: home)
    var records: [ReadRecord] = []
    var (position, hash): (Int64, Hash128?) = (0, nil)
    for count in 1...files.count {
      var probe = try CaptureProbe(Array(files[..<count]), start: position, prefix: hash, cut: 3, block: 4, keepOpen: count < files.count)
      let read = try await probe.all()
      records += read.records
      if let last = read.cuts.keys.max() { (position, hash) = (last, read.cuts[last]) }
      if count < files.count, let last = parts[..<count].last(where: { !$0.isEmpty }), parts[count - 1] == last, last.last != 0x0A {
        #expect(position < parts[..<count].reduce(0) { $0 + Int64($1.count) })
      }
    }
    #expect(records == expected(parts))
  }
}
