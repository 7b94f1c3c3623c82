import WeirCore

/// The formats that this program has: a new one is a file of its own and an entry here.
package enum RecordFormats {
  package static let standard: [any RecordFormat.Type] = [
    JSONFormat.self, JSONSchemaFormat.self, AvroFormat.self, CSVFormat.self, TSVFormat.self, TextFormat.self, LogfmtFormat.self,
    RawFormat.self, ProtobufFormat.self,
  ]

  /// Of a plan that names none. Ledgers keep such plans: it never changes.
  package static let byDefault = FormatSpec(JSONFormat())
}

extension RecordSpec {
  /// How records are written.
  package var recordFormat: any RecordFormat { (format ?? RecordFormats.byDefault).format }
}
