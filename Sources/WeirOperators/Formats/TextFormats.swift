import WeirCore

/// `format: {text: {pattern: …}}`: a line of text a record, whose parts a pattern names.
package struct TextFormat: RecordFormat {
  package static let name = "text"
  /// A regular expression, see ``LinePattern``; of a ready pattern or of grok what it stands for.
  package var pattern: String
  /// What a part that is null has, besides one that is not there.
  package var nulls: [String]
  /// The forms of times where a field says none: of a ready pattern.
  package var timeFormats: [String]?

  /// The whole line: a plan cannot name the format alone.
  package init() { self.init(pattern: "(?<line>.*)") }

  package init(pattern: String, nulls: [String] = [], timeFormats: [String]? = nil) {
    (self.pattern, self.nulls, self.timeFormats) = (pattern, nulls, timeFormats)
  }

  package var isText: Bool { true }
  package func problem(with field: Field) -> String? {
    if let problem = field.cellProblem { return problem }
    guard let names = try? LinePattern(pattern).names, let name = field.cellName, !names.contains(name) else { return nil }
    let near = nearestName(name, in: names).map { "; did you mean \($0)?" } ?? ""
    return "the pattern has no group \(name)\(near)"
  }

  package func decoder(_ request: DecoderRequest) -> any BlockDecoder {
    let parser = PatternParser(try? LinePattern(pattern), nulls: nulls)
    return CellDecoder(
      parser, request, places: request.fields.map { parser.place(of: $0.cellName ?? $0.name) },
      values: request.fields.map { TextValue($0, formats: timeFormats) })
  }

  package func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
    TextHint.ofText(rejection, record)
  }
}

/// `format: logfmt`: `key=value` with white space between them.
package struct LogfmtFormat: RecordFormat {
  package static let name = "logfmt"

  package init() {}

  package var isText: Bool { true }
  package func problem(with field: Field) -> String? { field.cellProblem }

  package func decoder(_ request: DecoderRequest) -> any BlockDecoder {
    CellDecoder(
      LogfmtParser(names: request.fields.map { $0.cellName ?? $0.name }), request, places: Array(request.fields.indices),
      values: request.fields.map { TextValue($0) })
  }

  package func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
    TextHint.ofText(rejection, record)
  }
}

/// `format: raw`: the whole record is the value of the one field.
package struct RawFormat: RecordFormat {
  package static let name = "raw"

  package init() {}

  package var isText: Bool { true }
  package func problem(with field: Field) -> String? {
    field.type == .string ? nil : "the value of a raw record is a string"
  }

  package func problem(with fields: [Field]) -> String? { fields.count > 1 ? "a raw record has one field, the whole" : nil }
  package var problemWithKinds: String? { "a raw record has one field, the whole" }

  package func decoder(_ request: DecoderRequest) -> any BlockDecoder {
    CellDecoder(RawParser(), request, places: request.fields.map { _ in 0 }, values: request.fields.map { TextValue($0) })
  }
}
