import Foundation
import Synchronization
import Testing
import WeirCore
import WeirLocal
import WeirOperators
import WeirTesting

/// Records of plain captures that are JSON values without lines of their own.
@Suite struct JSONFramingTests {
  private struct Found: Equatable, CustomStringConvertible {
    var position: Int64
    var text: String
    var description: String { "\(position): \(text)" }
  }

  private final class Home {
    let directory = NSTemporaryDirectory() + "weir-framing-" + UUID().uuidString

    init() throws { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func write(_ texts: [some Collection<UInt8>]) throws -> [String] {
      try texts.enumerated().map { number, text in
        try Data(Array(text)).write(to: URL(fileURLWithPath: "\(directory)/\(number)"))
        return "\(directory)/\(number)"
      }
    }
  }

  private struct Options {
    var start: Int64 = 0
    var prefix: Hash128?
    var cut: Int64 = 1 << 20
    var block = 1000
    var rows = 1000
    var record = CaptureSource.recordBytes
    var keepOpen = false
    var tell: @Sendable (Wording) -> Void = { _ in }
  }

  /// Also that blocks follow each other, with records that do not overlap.
  private func read(
    _ files: [String], _ framing: JSONFormat.Framing, _ options: Options = Options()
  ) async throws -> (records: [Found], cuts: [Int64: Hash128]) {
    let source = try CaptureSource(
      files: files, startAt: options.start, expectedPrefix: options.prefix, cutBytes: options.cut, blockBytes: options.block,
      blockRows: options.rows, recordBytes: options.record,
      keepOpen: options.keepOpen, framing: JSONFormat(framing).captureFraming, tell: options.tell)
    var (records, cuts, position): ([Found], [Int64: Hash128], Int64) = ([], [:], options.start)
    while true {
      switch try await source.next() {
      case .block(let raw, let next):
        guard case .spans(let offset, let length) = raw.framing else {
          Issue.record("a block of lines")
          continue
        }
        #expect(raw.position == position && next.ordinal == position + Int64(raw.count) && offset.count <= options.rows)
        position = next.ordinal
        var last = 0
        for (offset, length) in zip(offset, length) {
          #expect(Int(offset) >= last && Int(offset) + Int(length) <= raw.count)
          last = Int(offset) + Int(length)
          let text = withExtendedLifetime(raw) {
            String(decoding: UnsafeBufferPointer(start: raw.text.base + Int(offset), count: Int(length)), as: UTF8.self)
          }
          records.append(Found(position: raw.position + Int64(offset), text: text))
        }
      case .cut(let at, let hash):
        #expect(at == position)
        cuts[at] = hash
      case .end:
        await source.close()
        return (records, cuts)
      default: Issue.record("a capture says nothing of a live shard")
      }
    }
  }

  /// Each text at its next place in the file.
  private func places(_ texts: [String], in file: String) -> [Found] {
    let bytes = Array(file.utf8)
    var at = 0
    return texts.map { text in
      let wanted = Array(text.utf8)
      while at + wanted.count <= bytes.count, !bytes[at...].starts(with: wanted) { at += 1 }
      defer { at += wanted.count }
      return Found(position: Int64(at), text: text)
    }
  }

  private static let whole: [(JSONFormat.Framing, file: String, records: [String])] = [
    (.concatenated, #"{"a":1}{"a":2} {"a":3}"# + "\r\n" + #"{"a":4}"#, [#"{"a":1}"#, #"{"a":2}"#, #"{"a":3}"#, #"{"a":4}"#]),
    (
      .concatenated, "\u{FEFF}{\n  \"a\": 1,\n  \"b\": {\n    \"c\": 2\n  }\n}\n\n{\n  \"a\": 2\n}\n",
      ["{\n  \"a\": 1,\n  \"b\": {\n    \"c\": 2\n  }\n}", "{\n  \"a\": 2\n}"]
    ),
    (.concatenated, #"{"s":"}{"}{"s":"\\"}{"s":"[{\"}"}"#, [#"{"s":"}{"}"#, #"{"s":"\\"}"#, #"{"s":"[{\"}"}"#]),
    (.concatenated, #"null 1 "x" [1,2] 3{"a":1}"#, ["null", "1", #""x""#, "[1,2]", "3", #"{"a":1}"#]),
    (.concatenated, " \n ", []),
    (.array, #"[{"a":1},{"a":2}"# + "\n,\n" + #"{"a":3}]"#, [#"{"a":1}"#, #"{"a":2}"#, #"{"a":3}"#]),
    (.array, "[]\n [ ]\n" + #"[{"a":1}] [{"a":2}]"#, [#"{"a":1}"#, #"{"a":2}"#]),
    (.array, #"[[1,2],[3],{"a":["]"]}]"#, ["[1,2]", "[3]", #"{"a":["]"]}"#]),
    (.array, "{\"a\":1}\n{\"a\":2}\n", [#"{"a":1}"#, #"{"a":2}"#]),
  ]

  private static let damaged: [(JSONFormat.Framing, file: String, records: [String])] = [
    // A word, a number, a comma that is missing.
    (.concatenated, #"{"a":tru}{"a":2}"#, [#"{"a":tru}"#, #"{"a":2}"#]),
    (.concatenated, #"{"a":1 "b":{"c":2}}{"a":2}"#, [#"{"a":1 "b":{"c":2}}"#, #"{"a":2}"#]),
    (.concatenated, #"{"a":[1}{"a":2}{"a":3}"#, [#"{"a":[1}"#, #"{"a":2}"#, #"{"a":3}"#]),
    // Cut off in a text, in an object, in a list: what follows in the same line may be a part of it.
    (
      .concatenated, #"{"a":1,"b":"te{"a":2,"b":"x"}{"a":3,"b":"y"}{"a":4}"#,
      [#"{"a":1,"b":"te{"a":2,"b":"x"}"#, #"{"a":3,"b":"y"}"#, #"{"a":4}"#]
    ),
    (.concatenated, #"{"a":1,"b":{"c":2{"a":2}{"a":3}"#, [#"{"a":1,"b":{"c":2"#, #"{"a":2}"#, #"{"a":3}"#]),
    (.concatenated, "{\"a\":1,\"b\":[\n{\"a\":2}\n{\"a\":3}\n", [#"{"a":1,"b":["#, #"{"a":2}"#, #"{"a":3}"#]),
    (.concatenated, "{\n  \"a\": \"x\n}\n{\n  \"a\": 2\n}\n", ["{\n  \"a\": \"x\n}", "{\n  \"a\": 2\n}"]),
    (.concatenated, #"{"a":1}{"a":"#, [#"{"a":1}"#, #"{"a":"#]),
    // Text between the objects.
    (
      .concatenated, "starting\n{\"a\":1}\nWARN {} x {\"a\":2}\nnullx {\"a\":3}",
      ["starting", #"{"a":1}"#, "WARN {} x", #"{"a":2}"#, "nullx", #"{"a":3}"#]
    ),
    (.concatenated, #"{"a":1}}{"a":2}"#, [#"{"a":1}"#, "}", #"{"a":2}"#]),
    (.array, #"[{"a":tru},{"a":2}]"#, [#"{"a":tru}"#, #"{"a":2}"#]),
    (.array, #"[{"a":1},garbage , {"a":2}]"#, [#"{"a":1}"#, "garbage", #"{"a":2}"#]),
    (.array, #"[,{"a":1},{"a":2},]"#, [",", #"{"a":1}"#, #"{"a":2}"#]),
    (.array, "[\n  {\"a\":1,\"b\":\"x},\n  {\"a\":2}\n]\n", [#"{"a":1,"b":"x},"#, #"{"a":2}"#]),
    (.array, #"[{"a":1},{"b":"#, [#"{"a":1}"#, #"{"b":"#]),
  ]

  @Test(arguments: (whole + damaged).indices) func recordsAreTheSameWhateverTheBlocksCutsAndStarts(_ place: Int) async throws {
    let (framing, file, texts) = (JSONFramingTests.whole + JSONFramingTests.damaged)[place]
    let home = try Home()
    let files = try home.write([file.utf8])
    let expected = places(texts, in: file)
    var cuts: [Int64: Hash128]?
    for (block, rows) in [(1, 1), (3, 2), (8, 1000), (1000, 1), (1000, 1000)] {
      let found = try await read(files, framing, Options(cut: 1, block: block, rows: rows))
      #expect(found.records == expected)
      #expect(cuts == nil || cuts == found.cuts)
      cuts = found.cuts
    }
    for (position, hash) in cuts ?? [:] {
      let rest = try await read(files, framing, Options(start: position, prefix: hash, cut: 1, block: 5))
      #expect(rest.records == expected.filter { $0.position >= position }, "from \(position)")
      for (at, hash) in rest.cuts { #expect(cuts?[at] == hash) }
    }
  }

  @Test(arguments: (whole + damaged).indices) func aFileThatGrowsHasTheRecordsOfOneRun(_ place: Int) async throws {
    let (framing, file, texts) = (JSONFramingTests.whole + JSONFramingTests.damaged)[place]
    let home = try Home()
    let bytes = Array(file.utf8)
    var (records, position, hash): ([Found], Int64, Hash128?) = ([], 0, nil)
    for count in Array(stride(from: 0, to: bytes.count, by: 3)) + [bytes.count] {
      let files = try home.write([bytes[..<count]])
      let found = try await read(
        files, framing, Options(start: position, prefix: hash, block: 4, keepOpen: count < bytes.count))
      records += found.records
      if let last = found.cuts.keys.max() { (position, hash) = (last, found.cuts[last]) }
    }
    #expect(records == places(texts, in: file))
  }

  /// A file's end ends a record, and an array.
  @Test(arguments: JSONFormat.Framing.allCases) func filesEndRecords(_ framing: JSONFormat.Framing) async throws {
    let home = try Home()
    let parts =
      framing == .array
      ? ["[{\"a\":1},\n{\"a\":2}]", "[{\"a\":3}]\n", "", "[{\"a\":4},{\"a\":", "[{\"a\":5}", "[]"]
      : ["{\"a\":1}\n{\"a\":2}", "{\"a\":3}\n", "", "{\"a\":4}{\"a\":", "{\"a\":5}", " \n"]
    let files = try home.write(parts.map(\.utf8))
    let expected = places(["{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":4}", "{\"a\":", "{\"a\":5}"], in: parts.joined())
    var cuts: [Int64: Hash128]?
    for block in [1, 7, 1000] {
      let found = try await read(files, framing, Options(cut: 1, block: block))
      #expect(found.records == expected)
      #expect(cuts == nil || cuts == found.cuts)
      cuts = found.cuts
    }
    for (position, hash) in cuts ?? [:] {
      let rest = try await read(files, framing, Options(start: position, prefix: hash, cut: 1))
      #expect(rest.records == expected.filter { $0.position >= position }, "from \(position)")
    }
    var (records, position, hash): ([Found], Int64, Hash128?) = ([], 0, nil)
    for count in 1...files.count {
      let found = try await read(
        Array(files[..<count]), framing, Options(start: position, prefix: hash, keepOpen: count < files.count))
      records += found.records
      if let last = found.cuts.keys.max() { (position, hash) = (last, found.cuts[last]) }
    }
    #expect(records == expected)
  }

  @Test func anArrayThatIsCutOffIsReported() async throws {
    let home = try Home()
    let notices = Notices()
    let files = try home.write(["[{\"a\":1}", "[{\"a\":2}]"].map(\.utf8))
    _ = try await read(files, .array, Options(tell: { notices.add($0.description) }))
    #expect(notices.all == ["\(files[0]) ends without ]: was it cut off?"])
  }

  private final class Notices: @unchecked Sendable {
    // Unchecked: read after the source is closed.
    private let lock = NSLock()
    private var words: [String] = []
    var all: [String] { lock.withLock { words } }
    func add(_ text: String) { lock.withLock { words.append(text) } }
  }

  // MARK: Random values

  private struct Maker {
    var random: SplitMix64

    mutating func space() -> String { ["", "", " ", "\n", "\t", "\r\n", "  "].randomElement(using: &random)! }

    mutating func text() -> String {
      let parts = ["a", "}{", "{\\\"", "[", "]", ",", "\\\\", "\\u0041", "é", ":", "{\\\"a\\\":1}", " "]
      return "\"" + (0..<Int.random(in: 0...5, using: &random)).map { _ in parts.randomElement(using: &random)! }.joined() + "\""
    }

    mutating func value(_ depth: Int) -> String {
      switch Int.random(in: 0...(depth > 3 ? 3 : 6), using: &random) {
      case 0: return text()
      case 1: return ["true", "false", "null"].randomElement(using: &random)!
      case 2, 3: return ["0", "-1.5", "12e3", "100000"].randomElement(using: &random)!
      case 4: return list("[", "]") { $0.value(depth + 1) }
      default: return object(depth + 1)
      }
    }

    mutating func object(_ depth: Int = 0) -> String { list("{", "}") { $0.text() + $0.space() + ":" + $0.space() + $0.value(depth + 1) } }

    private mutating func list(_ open: String, _ close: String, _ item: (inout Maker) -> String) -> String {
      var items: [String] = []
      for _ in 0..<Int.random(in: 0...3, using: &random) { items.append(space() + item(&self) + space()) }
      return open + (items.isEmpty ? space() : items.joined(separator: ",")) + close
    }
  }

  @Test(arguments: 0..<60) func randomValuesAreTheRecords(_ seed: UInt64) async throws {
    var maker = Maker(random: SplitMix64(seed: seed))
    let framing = seed % 2 == 0 ? JSONFormat.Framing.array : .concatenated
    let home = try Home()
    var (parts, expected, position): ([String], [Found], Int64) = ([], [], 0)
    for _ in 0..<Int.random(in: 1...3, using: &maker.random) {
      var part = maker.space() + (framing == .array ? "[" : "")
      for number in 0..<Int.random(in: 0...12, using: &maker.random) {
        if framing == .array, number > 0 { part += "," + maker.space() }
        let object = maker.object()
        expected.append(Found(position: position + Int64(part.utf8.count), text: object))
        part += object + maker.space()
      }
      part += framing == .array ? "]" + maker.space() : ""
      parts.append(part)
      position += Int64(part.utf8.count)
    }
    let files = try home.write(parts.map(\.utf8))
    let cut = Int64.random(in: 1...60, using: &maker.random)
    let whole = try await read(files, framing, Options(cut: cut))
    #expect(whole.records == expected)
    let other = try await read(files, framing, Options(cut: cut, block: Int.random(in: 1...40, using: &maker.random), rows: 3))
    #expect(other.records == expected && other.cuts == whole.cuts)
    for (position, hash) in whole.cuts {
      let rest = try await read(files, framing, Options(start: position, prefix: hash, cut: cut, block: 16))
      #expect(rest.records == expected.filter { $0.position >= position })
    }
  }

  /// Of the text; white space around them, and what separates them, is not theirs.
  @Test(arguments: JSONFormat.Framing.allCases, ["concatenated", "array"])
  func whiteSpaceAroundRecordsIsNoPartOfTheirLength(_ framing: JSONFormat.Framing, _ form: String) async throws {
    let home = try Home()
    let space = String(repeating: " \n\r\t", count: 1500)
    let records = (0..<5).map { #"{"n":\#($0)}"# }
    // An array is a record where values follow each other: short ones here.
    guard form == "concatenated" || framing == .array else { return }
    let text =
      form == "array"
      ? space + "[" + space + records.joined(separator: space + "," + space) + space + "]" + space
      : space + records.joined(separator: space) + space
    let files = try home.write([Array(text.utf8)])
    var expected: [Found] = []
    var from = text.startIndex
    for record in records {
      let range = try #require(text[from...].firstRange(of: record))
      expected.append(Found(position: Int64(text.utf8.distance(from: text.startIndex, to: range.lowerBound)), text: record))
      from = range.upperBound
    }
    let whole = try await read(files, framing, Options(cut: 2000, block: 128, record: 1000))
    #expect(whole.records == expected)
    for (position, hash) in whole.cuts {
      let rest = try await read(files, framing, Options(start: position, prefix: hash, cut: 2000, block: 128, record: 1000))
      #expect(rest.records == expected.filter { $0.position >= position })
    }
  }

  @Test(arguments: JSONFormat.Framing.allCases)
  func aRecordThatIsTooLongIsRefusedAtItsOwnPosition(_ framing: JSONFormat.Framing) async throws {
    let home = try Home()
    let space = String(repeating: " ", count: 5000)
    let files = try home.write([Array("{\"n\":1}\(space){\"n\":\"\(String(repeating: "x", count: 2000))\"}".utf8)])
    let error = await #expect(throws: WeirError.self) { try await read(files, framing, Options(block: 128, record: 1000)) }
    #expect(error?.message.contains("position 5007") == true, "\(String(describing: error))")
  }

  @Test(arguments: [
    ("{\"n\":1}\n{\"n\":2}\n", "holds no JSON array"), ("\u{FEFF}{\"n\":1}", "holds no JSON array"), ("[{\"n\":1}", "was it cut off?"),
    ("\u{FEFF} [{\"n\":1},", "was it cut off?"), ("[{\"n\":1}]", ""), ("\u{FEFF}\n[]\n", ""), ("", ""),
  ]) func aFileThatIsNoArrayIsReportedAsSuch(_ text: String, _ words: String) async throws {
    let home = try Home()
    let said = Mutex<[String]>([])
    let files = try home.write([Array(text.utf8)])
    _ = try await read(files, .array, Options(block: 4) { word in said.withLock { $0.append(word.description) } })
    let all = said.withLock { $0 }
    #expect(words.isEmpty ? all.isEmpty : all.count == 1 && all[0].contains(words), "\(all)")
  }

  /// Objects that are not whole cost a bounded number of bytes, wherever they seem to begin.
  @Test func hostileTextCostsLinearTime() {
    for unit in ["{\"a\":[", "}{\"x\":\"", "{\"a\":{\"b\":", "[{", "\"}{\",\":\",", "}{\"a\":\"}{\",\"b\":["] {
      let bytes = Array(String(repeating: unit, count: 40_000).utf8) + [UInt8](repeating: 0, count: 64)
      for framing in JSONFormat.Framing.allCases {
        let found = bytes.withUnsafeBufferPointer { buffer in
          JSONFormat(framing).captureFraming!.frames(
            FramedText(base: buffer.baseAddress!, count: bytes.count - 64, isEnd: true, previous: nil, rowsMax: .max, stop: .max))
        }
        #expect(found.end == bytes.count - 64)
      }
    }
  }
}
