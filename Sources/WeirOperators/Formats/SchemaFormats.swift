import WeirCore

/// `format: json-schema`: JSON after the id of a JSON Schema.
public struct JSONSchemaFormat: RecordFormat {
  public static let name = "json-schema"

  public init() {}

  public var carriesSchemaIDs: Bool { true }
  public var readsLines: Bool { false }
  public var holdsJSON: Bool { true }
  public func problem(withCoercionOf field: Field) -> String? { "records of format json-schema have types of their own" }
  public func framing(of raw: RawBlock) -> SchemaFraming? { SchemaFraming(raw) }
  public func decoder(_ request: DecoderRequest) -> any BlockDecoder { FramedDecoder(.json, fields: request.fields, read: request.read) }
}

/// `format: avro`: Avro after the id of the schema that it was written with.
public struct AvroFormat: RecordFormat {
  public static let name = "avro"

  public init() {}

  public var carriesSchemaIDs: Bool { true }
  public var readsLines: Bool { false }

  public func problem(with field: Field) -> String? {
    let hasIndex = field.steps.contains { if case .index = $0 { true } else { false } }
    return hasIndex ? "elements of arrays cannot be read with format avro" : nil
  }

  public func problem(withCoercionOf field: Field) -> String? { "records of format avro have types of their own" }

  public func framing(of raw: RawBlock) -> SchemaFraming? { SchemaFraming(raw) }
  public func decoder(_ request: DecoderRequest) -> any BlockDecoder { FramedDecoder(.avro, fields: request.fields, read: request.read) }
}
