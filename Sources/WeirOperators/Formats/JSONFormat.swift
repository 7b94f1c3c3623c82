import WeirCore

/// `format: json`: an object a record.
package struct JSONFormat: RecordFormat {
  package static let name = "json"

  /// How objects follow each other in a plain capture.
  package enum Framing: String, Hashable, Sendable, Codable, CaseIterable {
    /// With or without white space between them, each in one line or several.
    case concatenated
    /// As elements of one array a file.
    case array
  }

  /// nil: each is a line. Ledgers keep plans: only added, and optional.
  package var framing: Framing?

  package init() {}
  package init(_ framing: Framing?) { self.framing = framing }

  package var captureFraming: (any CaptureFraming)? { framing.map { JSONFraming(opensArrays: $0 == .array) } }

  package var holdsJSON: Bool { true }

  package func decoder(_ request: DecoderRequest) -> any BlockDecoder {
    RecordDecoder(fields: request.fields, read: request.read, keepsBlankLines: request.keepsBlankLines)
  }

  package func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
    RejectionHint.of(rejection, record, spec)
  }
}
