import WeirCore

/// `format: csv`: a row a record, with commas between its fields.
public struct CSVFormat: RecordFormat {
  public static let name = "csv"
  public var dialect = CSVDialect()

  public init() {}
  public init(_ dialect: CSVDialect) { self.dialect = dialect }

  public var isText: Bool { true }
  public func problem(with field: Field) -> String? { dialect.problem(with: field) }
  public func decoder(_ request: DecoderRequest) -> any BlockDecoder { dialect.decoder(request) }

  public func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
    TextHint.of(rejection, record, spec, dialect)
  }
}

/// `format: tsv`: a row a record, with tabs between its fields.
public struct TSVFormat: RecordFormat {
  public static let name = "tsv"
  public var dialect = CSVDialect(delimiter: "\t")

  public init() {}
  public init(_ dialect: CSVDialect) { self.dialect = dialect }

  public var isText: Bool { true }
  public func problem(with field: Field) -> String? { dialect.problem(with: field) }
  public func decoder(_ request: DecoderRequest) -> any BlockDecoder { dialect.decoder(request) }

  public func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
    TextHint.of(rejection, record, spec, dialect)
  }
}
