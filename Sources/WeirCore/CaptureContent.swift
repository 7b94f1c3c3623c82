/// What the files of a plain capture hold, as their reader declares it: which formats their first bytes can show instead.
public struct CaptureContent: Sendable, Hashable {
  public enum Bytes: Sendable, Hashable {
    /// JSON: no other format begins like it.
    case json
    /// Text in UTF-8: it may begin with the letters of a format's signature.
    case text
    /// A binary format: any bytes may be its first.
    case binary
  }

  /// For messages: `JSON lines`.
  public var name: String
  public var bytes: Bytes

  public init(_ name: String, _ bytes: Bytes) { (self.name, self.bytes) = (name, bytes) }

  public static let jsonLines = CaptureContent("JSON lines", .json)

  /// The other format that a file is of.
  /// - Parameter first: its first bytes, ``FileSignature/bytesNeeded`` of them or all.
  /// - Returns: nil: they may be the beginning of this content.
  public func foreign(_ first: some Collection<UInt8>) -> FileSignature? {
    switch bytes {
    case .binary: nil
    case .text where CaptureContent.isText(Array(first)): nil
    case .text, .json: FileSignature(first)
    }
  }

  /// UTF-8 without zero bytes; its last character may be cut off.
  private static func isText(_ first: [UInt8]) -> Bool {
    !first.contains(0) && (0..<4).contains { String(validating: first.dropLast($0), as: UTF8.self) != nil }
  }
}

extension RecordFormat {
  /// What a plain capture of such records holds.
  public var captureContent: CaptureContent {
    if holdsJSON { return captureFraming == nil ? .jsonLines : CaptureContent("JSON", .json) }
    return CaptureContent("records of format \(Self.name)", isText ? .text : .binary)
  }
}
