import WeirCore

/// `format: csv`: a row a record, with commas between its fields.
package struct CSVFormat: RecordFormat {
  package static let name = "csv"
  package var dialect = CSVDialect()

  package init() {}
  package init(_ dialect: CSVDialect) { self.dialect = dialect }

  package var isText: Bool { true }
  package func problem(with field: Field) -> String? { dialect.problem(with: field) }
  package var problemWithKinds: String? { dialect.problemWithKinds }
  package func decoder(_ request: DecoderRequest) -> any BlockDecoder { dialect.decoder(request) }

  package func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
    TextHint.of(rejection, record, spec, dialect)
  }
}

/// `format: tsv`: a row a record, with tabs between its fields.
package struct TSVFormat: RecordFormat {
  package static let name = "tsv"
  package var dialect = CSVDialect(delimiter: "\t")

  package init() {}
  package init(_ dialect: CSVDialect) { self.dialect = dialect }

  package var isText: Bool { true }
  package func problem(with field: Field) -> String? { dialect.problem(with: field) }
  package var problemWithKinds: String? { dialect.problemWithKinds }
  package func decoder(_ request: DecoderRequest) -> any BlockDecoder { dialect.decoder(request) }

  package func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
    TextHint.of(rejection, record, spec, dialect)
  }
}
