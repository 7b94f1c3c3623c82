import Foundation
import Testing
import WeirCore
import WeirLocal

/// Files that are not JSON lines.
struct CaptureFormatTests {
  private static let formats: [(bytes: [UInt8], word: String)] = [
    (Array("PAR1".utf8) + [0x15, 0x04], "Parquet"), (Array("ORC".utf8) + [0x01, 0x02], "ORC"),
    (Array("Obj\u{1}".utf8) + [4, 22], "Avro"), ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00, 0, 4], "xz"),
    (Array("BZh9".utf8) + [0x31, 0x41, 0x59, 0x26, 0x53, 0x59], "bzip2"), ([0x04, 0x22, 0x4D, 0x18, 0x64], "lz4"),
    ([0xFF, 0x06, 0x00, 0x00, 0x73, 0x4E, 0x61, 0x50, 0x70, 0x59], "snappy"), ([0x50, 0x4B, 0x03, 0x04, 20, 0], "zip"),
    ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C, 0], "7z"), (Array("SQLite format 3\0".utf8), "SQLite"), (Array("ARROW1\0\0".utf8), "Arrow"),
    (Array("a".utf8) + [UInt8](repeating: 0, count: 256) + Array("ustar\0".utf8), "tar"),
    ([0xFF, 0xFE] + Array("{".utf8) + [0], "UTF-16"), ([0xFE, 0xFF, 0] + Array("{".utf8), "UTF-16"),
    ([0xFF, 0xFE, 0, 0, 0x7B, 0, 0, 0], "UTF-32"), (Array("{\0\"\0".utf8), "UTF-16"), (Array("\0{\0\"".utf8), "UTF-16"),
    (Array("WEIRCAP1".utf8) + [1, 0, 0, 0], "live capture"),
    (Array("{\0\0\0\"\0\0\0".utf8), "UTF-32"), (Array("\0\0\0{\0\0\0\"".utf8), "UTF-32"), (Array("\0\0\0\n\0\0\0[".utf8), "UTF-32"),
  ]

  @Test func aFileOfAnotherFormatIsRefusedByItsName() async throws {
    let home = try CaptureFiles()
    for (bytes, word) in CaptureFormatTests.formats {
      // Also as what a gzip file holds.
      for content in [bytes, try home.gzip(bytes)] {
        let path = try home.make("file", content)
        let error = #expect(throws: WeirError.self) { try CaptureSource.check([path]) }
        #expect(error?.code == .captureFormat && error?.message.contains(word) == true, "\(word): \(error.map { "\($0)" } ?? "")")
        #expect(error?.message.contains(path) == true && error?.advice != nil)
        var probe = try CaptureProbe([path])
        await #expect(throws: WeirError.self) { try await probe.all() }
      }
    }
    let twice = try home.make("twice", try home.gzip(try home.gzip(Array("{}\n".utf8))))
    #expect(throws: WeirError.self) { try CaptureSource.check([twice]) }
  }

  /// iconv reads what the advice says.
  @Test(arguments: ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"]) func theAdviceForATextNamesItsEncoding(_ encoding: String) throws {
    let bits = encoding.hasPrefix("UTF-16") ? 1 : 3
    let units = Array("{\"a\": \"b\"}\n".utf8).flatMap { byte in
      encoding.hasSuffix("LE") ? [byte] + [UInt8](repeating: 0, count: bits) : [UInt8](repeating: 0, count: bits) + [byte]
    }
    let home = try CaptureFiles()
    let path = try home.make("file", units)
    let error = #expect(throws: WeirError.self) { try withExtendedLifetime(home) { try CaptureSource.check([path]) } }
    #expect(error?.code == .captureFormat && error?.advice?.contains("iconv -f \(encoding) ") == true, "\(error.map { "\($0)" } ?? "")")
  }

  /// Text that begins like a format is text.
  @Test func linesAreNotTakenForAnotherFormat() async throws {
    let home = try CaptureFiles()
    let pad = String(repeating: "x", count: 250)
    for text in [
      "", "{", "{}\n", "ORCHID\n", "SEQUENCE\n", "BZhang\n", "\u{FEFF}{}\n", "{\"a\":\"\(pad)ustar\"}\n", "\n\n{}", "Obj\n", "PAR\n",
    ] {
      let path = try home.make("file", Array(text.utf8))
      try CaptureSource.check([path])
      var probe = try CaptureProbe([path])
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      #expect(try await probe.all().texts == (lines.last == "" ? lines.dropLast() : lines))
    }
  }

  /// Whether the first bytes can be the pipeline's format decides, and not what they look like.
  @Test func aFormatThatCanBeginLikeAnotherIsRead() async throws {
    let home = try CaptureFiles()
    let csv = CaptureContent("records of format csv", .text)
    let protobuf = CaptureContent("records of format protobuf", .binary)
    for word in ["PAR1", "ORC", "ARROW1", "FEA1", "PARE", "SEQ\u{6}", "Obj\u{1}", "WEIRCAP1", "ORC\u{3}"] {
      let text = word + ",größe\n" + String(repeating: "ä", count: 400) + "\n"
      for content in [Array(text.utf8), try home.gzip(Array(text.utf8))] {
        let path = try home.make("file", content)
        for expected in [csv, protobuf] {
          try CaptureSource.check([path], content: expected)
          #expect(
            try CaptureSource.firstBytes(of: LocalCaptureStore().files(of: path), content: expected, count: 9) == Array(text.utf8.prefix(9))
          )
        }
      }
    }
    let parquet = try home.make("file", Array("PAR1".utf8) + [0x15, 0x04, 0x15, 0x00, 0xC0])
    try CaptureSource.check([parquet], content: protobuf)
    let error = #expect(throws: WeirError.self) { try CaptureSource.check([parquet], content: csv) }
    #expect(error?.message.hasSuffix("is Parquet, and not records of format csv") == true, "\(error.map { "\($0)" } ?? "")")
    #expect(error?.advice?.contains("JSON") == false)
  }

  @Test func aDirectoryIsRefusedByWhatItIs() throws {
    let home = try CaptureFiles()
    for (name, code, word) in [
      ("table/_delta_log", "capture_format", "Delta table"), ("lake/bronze", "capture_format", "lake"), ("plain/x", "config", "/*"),
      ("whole/bronze/s/_delta_log", "capture_format", "lake"), ("whole/_weir/p", "capture_format", "lake"),
      ("tables/s/_delta_log", "capture_format", "directory of Delta tables"),
      ("empty", "config", "empty"),
    ] {
      try FileManager.default.createDirectory(atPath: home.directory + "/" + name, withIntermediateDirectories: true)
      let path = home.directory + "/" + name.prefix { $0 != "/" }
      let error = #expect(throws: WeirError.self) { try CaptureSource.check([path]) }
      #expect(
        error?.code.rawValue == code && "\(error?.message ?? "") \(error?.advice ?? "")".contains(word), "\(error.map { "\($0)" } ?? "")")
    }
    for (name, words) in [
      ("whole/bronze", "Delta tables"), ("whole/_weir", "ledger"), ("whole/_weir/p", "ledger"),
      ("tables/s/_delta_log", "log of a Delta table"),
    ] {
      let error = #expect(throws: WeirError.self) { try CaptureSource.check([home.directory + "/" + name]) }
      #expect(error?.code == .captureFormat && error?.message.contains(words) == true, "\(name): \(error.map { "\($0)" } ?? "")")
      #expect(error?.advice?.contains("/*") == false, "\(name): it does not name what is refused next")
    }
    try FileManager.default.createDirectory(atPath: home.directory + "/parts", withIntermediateDirectories: true)
    _ = try home.make("parts/part-0.parquet", Array("PAR1....".utf8))
    #expect(throws: WeirError.self) { try CaptureSource.check([home.directory + "/parts"]) }
  }
}
