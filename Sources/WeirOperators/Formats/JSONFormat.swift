import WeirCore

/// `format: json`: an object a record.
public struct JSONFormat: RecordFormat {
  public static let name = "json"

  public init() {}

  public func decoder(_ request: DecoderRequest) -> any BlockDecoder {
    RecordDecoder(fields: request.fields, read: request.read, keepsBlankLines: request.keepsBlankLines)
  }

  public func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
    RejectionHint.of(rejection, record, spec)
  }
}
