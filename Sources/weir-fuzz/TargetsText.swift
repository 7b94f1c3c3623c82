import WeirCore
import WeirOperators

/// Formats of text.
extension FuzzTarget {
  private static let textFields = [
    Field(name: "a", type: .string), Field(name: "b", type: .int64), Field(name: "c", type: .decimal(precision: 12, scale: 2)),
    Field(name: "d", type: .timestamp, coerce: Coercion(zone: "Europe/Berlin")),
    Field(
      name: "e", type: .timestamp, coerce: Coercion(zone: "UTC", formats: ["%d/%b/%Y:%H:%M:%S %z", "%Y%m%d %I%p", "%a %e %B %y %T.%f"])),
    Field(name: "f", type: .bool), Field(name: "g", type: .double), Field(name: "h", type: .timestamp, encoding: .nanoseconds),
  ]

  /// Each record of a block comes out as it does alone.
  private static func decode(_ format: some RecordFormat, _ fields: [Field], _ input: [UInt8]) {
    let request = DecoderRequest(fields: fields, keepsBlankLines: false)
    let block = format.decoder(request).decode(RawBlock(lines: input))
    expect(block.valid.count == block.count && block.columns.allSatisfy { $0.count == block.count }, "columns of other lengths")
    expect(block.rejections.allSatisfy { $0.rejection.reason.utf8.count < 2100 }, "a reason without a bound")
    var rejections = block.rejections[...]
    for row in 0..<min(block.count, 100) {
      let start = Int(block.offset[row])
      let line = Array(input[start..<start + Int(block.length[row])])
      let alone = format.decoder(request).decode(RawBlock(records: [line]))
      // A record that is not a line may end with a line's end, and a raw one may start with a byte order mark.
      guard line.last != 0x0D, !(format is RawFormat && line.starts(with: [0xEF, 0xBB, 0xBF])) else {
        if !block.valid[row] { _ = rejections.popFirst() }
        continue
      }
      expect(alone.valid[0] == block.valid[row], "row \(row) alone is another verdict: \(alone.rejections)")
      for (i, column) in block.columns.enumerated() {
        expect(same(column.literal(row), alone.columns[i].literal(0)), "row \(row): \(fields[i].name) alone is another value")
      }
      if !block.valid[row] { expect(rejections.popFirst()?.rejection == alone.rejections[0].rejection, "row \(row)'s reason") }
      for rejection in alone.rejections {
        line.withUnsafeBufferPointer { _ = format.hint(for: rejection.rejection, of: $0, RecordSpec(fields: fields, key: nil, time: nil)) }
      }
    }
  }

  private static let textWords = [
    "\"", "\"\"", "\\", ",", ";", "\t", "\r", "\n", "#", "NULL", "a,b,c,d,e,f,g,h", "2026-03-29 02:30:00", "01/Mar/2026:13:00:00 +0100",
    "1e9", "+", ".",
    "true", "ü", "\u{FEFF}", "=",
  ]

  static let csvRows = FuzzTarget(
    "csv-rows", words: textWords,
    seeds: {
      [
        [0] + Array("a,b,c,d,e,f,g,h\nx,1,2.5,2026-03-29 02:30:00,01/Mar/2026:13:00:00 +0100,true,1e9,5\n\"q \"\"x\"\"\",,,,,,,\n".utf8),
        [7] + Array("# c\n x ; 1 ; 2,5 ;;;;;\n".utf8),
      ]
    }
  ) { input in
    let kind = input.first ?? 0
    var dialect = CSVDialect(delimiter: kind & 1 == 0 ? "," : ";")
    dialect.header = kind & 2 == 0
    dialect.trim = kind & 4 != 0
    if kind & 8 != 0 { dialect.escape = "\\" }
    if kind & 16 != 0 { dialect.quote = "" }
    (dialect.comment, dialect.nulls, dialect.decimal) = (kind & 1 == 0 ? nil : "#", ["", "NULL"], kind & 1 == 0 ? "." : ",")
    decode(CSVFormat(dialect), textFields, Array(input.dropFirst()))
  }

  /// A pattern, and lines for it.
  static let linePattern = FuzzTarget(
    "line-pattern",
    words: [
      "(?<a>", "(?:", ")", "|", "*", "+?", "{2,3}", "[^", "]", "\\d", "\\b", "%{IP:b}", "%{", "(?i)", "\\x41", "-", "$", "ü", ".*", ")*",
    ],
    seeds: {
      ReadyPattern.all.map { Parts.join(Array($0.pattern.utf8), Array("a b \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"\n".utf8)) } + [
        Parts.join(Array("%{IP:a} (?<b>(?:x+x+)+)y".utf8), Array("1.2.3.4 xxxxxxxxxxxxxxxx\n".utf8)),
        Parts.join(Array("(?i)(?<a>[a-zü]{2,5}?)\\b(?<b>.*)$".utf8), Array("Ünder x\n".utf8)),
      ]
    }
  ) { input in
    let parts = Parts.split(input, 2)
    let text = try Grok.expand(String(decoding: parts[0], as: UTF8.self)).text
    let pattern = try LinePattern(text)
    guard !pattern.names.isEmpty else { return }
    decode(TextFormat(pattern: text, nulls: ["-"]), pattern.names.prefix(5).map { Field(name: $0, type: .string) }, parts[1])
  }

  static let logfmt = FuzzTarget(
    "logfmt", words: textWords + ["a=", "b=\"", "\\u00e9", "e="],
    seeds: { [Array("a=x b=1 c=\"2.5\" d=2026-01-01T00:00 f\na=\"q \\\"x\\\"\" g=1.5\n".utf8)] }
  ) { input in
    decode(LogfmtFormat(), textFields, input)
    decode(RawFormat(), [textFields[0]], input)
  }

  /// JSON whose values may be texts.
  static let coercions = FuzzTarget(
    "coercions", words: textWords + jsonWords,
    seeds: {
      [Array(#"{"a":5,"b":"+7","c":" 1.50","d":"2026-10-25 02:30","e":"20260101 12PM","f":"TRUE","g":".5","h":"17145504001201904"}"#.utf8)]
    }
  ) { input in
    let fields = textFields.map { field in
      var field = field
      field.coerce = field.coerce ?? Coercion()
      return field
    }
    decode(JSONFormat(), fields, input)
    // A form is text of the pipeline file.
    _ = try TimeFormat(String(decoding: input.prefix(50), as: UTF8.self))
  }

  static let zoneFile = FuzzTarget(
    "zone-file", words: ["TZif", "2", "\n", "CET-1CEST,M3.5.0,M10.5.0/3", "<+03>-3", ",J60", "/25:30:10", "M13.0.9"],
    seeds: {
      let table = [UInt8]("TZif2".utf8) + [UInt8](repeating: 0, count: 15)
      let none = [UInt8](repeating: 0, count: 24)
      let kinds: [UInt8] = [0, 0, 0, 0] + [0, 0, 0, 0] + [0, 0, 0, 0] + [0, 0, 0, 1] + [0, 0, 0, 1] + [0, 0, 0, 4]
      let body: [UInt8] = [0, 0, 0, 0, 0x40, 0, 0, 0, 0] + [0, 0, 14, 16, 0, 0] + [67, 69, 84, 0]
      return [table + none + table + kinds + body + Array("\nCET-1CEST,M3.5.0,M10.5.0/3\n".utf8)]
    }
  ) { input in
    guard let rules = ZoneRules(file: input) else { return }
    for local: Int64 in [-62_135_596_800, -1, 0, 1_774_747_800, 253_402_300_799] {
      expect(abs(rules.utcOffset(atLocal: local)) < 1_000_000, "an offset")
    }
  }
}
