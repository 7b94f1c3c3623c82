import WeirCore

/// `format: json-schema`: JSON after the id of a JSON Schema.
package struct JSONSchemaFormat: RecordFormat {
  package static let name = "json-schema"

  package init() {}

  package var carriesSchemaIDs: Bool { true }
  package var readsLines: Bool { false }
  package var holdsJSON: Bool { true }
  package func problem(withCoercionOf field: Field) -> String? { "records of format json-schema have types of their own" }
  package func framing(of raw: RawBlock) -> SchemaFraming? { SchemaFraming(raw) }
  package func decoder(_ request: DecoderRequest) -> any BlockDecoder { FramedDecoder(.json, fields: request.fields, read: request.read) }
}

/// `format: avro`: Avro after the id of the schema that it was written with.
package struct AvroFormat: RecordFormat {
  package static let name = "avro"

  package init() {}

  package var carriesSchemaIDs: Bool { true }
  package var readsLines: Bool { false }

  package func problem(with field: Field) -> String? {
    let hasIndex = field.steps.contains { if case .index = $0 { true } else { false } }
    return hasIndex ? "elements of arrays cannot be read with format avro" : nil
  }

  package func problem(withCoercionOf field: Field) -> String? { "records of format avro have types of their own" }

  package func framing(of raw: RawBlock) -> SchemaFraming? { SchemaFraming(raw) }
  package func decoder(_ request: DecoderRequest) -> any BlockDecoder { FramedDecoder(.avro, fields: request.fields, read: request.read) }
}
