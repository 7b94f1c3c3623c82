import Foundation
import Testing
import WeirCore
import WeirDelta
import WeirLocal
import WeirOperators
import WeirParquet
import WeirPlan
import Yams

@testable import WeirConfiguration
@testable import WeirEngine

/// A format that is registered here only goes through the whole engine: nothing else in the program knows its name.
@Suite struct RecordFormatTests {
  /// `key=value` pairs, separated by a character of its own: texts and whole numbers.
  struct PairsFormat: RecordFormat {
    static let name = "pairs"
    var separator = " "

    func problem(with field: Field) -> String? {
      [.string, .int64, .timestamp].contains(field.type) ? nil : "format pairs has no \(field.type.name)"
    }

    func decoder(_ request: DecoderRequest) -> any BlockDecoder { PairsDecoder(request, separator: Character(separator)) }

    func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
      record.contains(UInt8(ascii: "=")) ? nil : "a record is NAME=VALUE, separated by '\(separator)'"
    }
  }

  final class PairsDecoder: BlockDecoder {
    private let request: DecoderRequest
    private let separator: Character

    init(_ request: DecoderRequest, separator: Character) { (self.request, self.separator) = (request, separator) }

    func decode(_ raw: RawBlock) -> DecodedBlock {
      let (offset, length, blankLines) = raw.records(keepsBlankLines: request.keepsBlankLines)
      var builders = request.fields.map { ColumnBuilder($0.type) }
      var rejections: [(row: Int, rejection: Rejection)] = []
      for row in offset.indices {
        let bytes = UnsafeBufferPointer(start: raw.text.base + Int(offset[row]), count: Int(length[row]))
        let pairs = String(decoding: bytes, as: UTF8.self).split(separator: separator).map { $0.split(separator: "=", maxSplits: 1) }
        let values = request.fields.map { field -> Literal? in
          guard let text = pairs.last(where: { $0.count == 2 && $0[0] == field.name })?[1] else { return field.required ? nil : .null }
          switch field.type {
          case .string: return .string(String(text))
          case .int64: return Int64(text).map { .int64($0) }
          default: return Int64(text).map { .timestamp($0 * 1_000_000) }
          }
        }
        let wrong = values.firstIndex { $0 == nil }
        if let wrong {
          rejections.append((row, Rejection(stage: .decode, reason: "pair \(request.fields[wrong].name) is missing or no number")))
        }
        for i in builders.indices { builders[i].append(wrong == nil ? values[i] ?? .null : .null) }
      }
      let rejected = Set(rejections.map(\.row))
      var block = DecodedBlock(
        raw: raw, offset: offset, length: length, columns: builders.map { $0.finish() },
        valid: offset.indices.map { !rejected.contains($0) }, rejections: rejections)
      block.blankLines = blankLines
      return block
    }
  }

  struct PairsSection: FormatSection {
    var format: any RecordFormat.Type { PairsFormat.self }

    func read(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)? {
      let members = loader.reader.mapping(node, "record.format.pairs", keys: ["separator"])
      var format = PairsFormat()
      if let separator = members["separator"] { format.separator = loader.reader.string(separator, "separator") ?? " " }
      return format
    }
  }

  private var sections: PlanSections {
    var sections = PlanSections.standard
    sections.formats.append(PairsSection())
    return sections
  }

  private func load(_ format: String, fields: String = "{user: string!, n: int64, at: timestamp!}") throws -> LoadedPipeline {
    try PipelineLoader(file: "p.yaml", sections: sections).load(
      """
      pipeline: p
      source: {capture: {stream: s}}
      record: {format: \(format), key: user, time: {field: at, out_of_order: 1s}, fields: \(fields)}
      dedup: {id: n, within: 1h}
      silver: {}
      gold: {g: {by: [user], window: {tumbling: 10s}, measure: {total: sum(n)}}}
      """)
  }

  @Test func itIsReplayedWithoutAChangeInTheEngine() async throws {
    let path = NSTemporaryDirectory() + "weir-formats-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let lines = (0..<5000).map { "n=\($0 % 4900);user=u\($0 % 7);at=\($0 / 10)" } + ["", "hello", "user=a;n=x;at=1"]
    try (lines.joined(separator: "\n") + "\n").write(toFile: path + "/c.txt", atomically: true, encoding: .utf8)
    let loaded = try load("{pairs: {separator: \";\"}}")
    let lake = LocalObjectStore(root: path + "/lake", threads: BlockingThreads(count: 1), random: SystemRandom())
    let environment = EngineEnvironment(
      lake: lake, tables: DeltaFormat(), state: nil, clock: SystemClock(), random: SystemRandom(), threads: BlockingThreads(count: 2),
      parallel: 2)
    let request = LedgerRequest(meaning: .string("m"), planHash: "h", lanes: 2, runID: "r", describeChange: { _, _ in [] })
    let worker = Worker(
      CompiledPlan(loaded.plan, lookups: []), environment: environment, request: request,
      input: .capture(keepOpen: false) { _ in try CaptureSource(files: [path + "/c.txt"], cutBytes: 20_000, blockBytes: 4096) },
      observe: { _ in }, stop: Flag())
    let (_, progress, fold) = try await worker.replay()
    #expect(fold.counts.accepted == 4900 && fold.counts.duplicate == 100 && fold.counts.quarantined == 2 && fold.counts.blankLines == 1)
    #expect(progress.rejected.kinds.compactMap(\.sample.hint) == ["a record is NAME=VALUE, separated by ';'"])
    #expect(try await numbers(lake) == Array(0..<4900))
  }

  /// The column n of silver.
  private func numbers(_ lake: LocalObjectStore) async throws -> [Int64] {
    var found: [Int64] = []
    for object in try await lake.list("silver/s/") where object.path.hasSuffix(".parquet") && !object.path.contains("_delta_log") {
      let reader = try ParquetReader(try #require(try await lake.get(object.path)), name: object.path)
      let leaf = try #require(reader.leaves(below: ["n"]).first)
      for group in 0..<reader.groups {
        let values = try reader.column(leaf, group: group)
        found += try (0..<reader.rows(inGroup: group)).map { try #require(values.int($0)) }
      }
    }
    return found.sorted()
  }

  @Test func aPlanNamesItAloneOrWithItsSettings() throws {
    let (plain, own, json) = (try load("pairs").plan, try load("{pairs: {separator: \";\"}}").plan, try load("json").plan)
    #expect(plain.record.format == FormatSpec(PairsFormat()) && own.record.format == FormatSpec(PairsFormat(separator: ";")))
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    func text(_ plan: Plan) throws -> String { String(decoding: try encoder.encode(plan.record), as: UTF8.self) }
    #expect(try text(plain).contains("\"format\":\"pairs\",") && text(own).contains("\"format\":{\"pairs\":{\"separator\":\";\"}},"))
    #expect(try !text(json).contains("format"), "as before there was another")
    for plan in [plain, own, json] {
      let decoder = JSONDecoder()
      decoder.userInfo[.adapters] = sections.types
      #expect(try decoder.decode(Plan.self, from: encoder.encode(plan)) == plan)
      decoder.userInfo[.adapters] = PlanSections.standard.types
      #expect((try? decoder.decode(Plan.self, from: encoder.encode(plan))) == (plan == json ? plan : nil), "not of an unknown format")
    }
  }

  @Test(arguments: [
    ("pears", "record.format: pears must be one of json, json-schema, avro, "), ("pears", ", pairs"),
    ("protobuf", "needs a descriptor and a message"),
    ("{raw: {}}", "record.format.raw has no settings"), ("{pairs: {}, json: {}}", "must name exactly one format"),
    ("{pairs: {seperator: x}}", "seperator"),
  ]) func aFormatThatCannotBeReadIsRefused(_ format: String, _ words: String) {
    let error = #expect(throws: ConfigurationError.self) { try load(format) }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test func aFieldThatTheFormatHasNotIsRefused() {
    let error = #expect(throws: ConfigurationError.self) {
      try load("pairs", fields: "{user: string!, n: int64, at: timestamp!, x: double}")
    }
    #expect(error?.description.contains("field x: format pairs has no double") == true, "\(error?.description ?? "")")
  }
}
