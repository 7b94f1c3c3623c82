/// A file format that Weir does not read, recognised by a file's first bytes.
///
/// One list for every file that a user can name: captures, lookups, pipeline files.
public struct FileSignature: Sendable, Equatable {
  public enum Kind: Sendable {
    /// A compressed file; the value is the command that writes it uncompressed to stdout.
    case compression(command: String)
    case archive
    /// Records, but not as lines of text.
    case table
    /// Text that is not UTF-8; the value is the name that iconv has for the encoding.
    case encoding(String)
    case database
    /// Part of a capture of a live stream.
    case segment
  }

  /// The format's name, for messages: `Parquet`.
  public var name: String
  public var kind: Kind

  public static func == (a: FileSignature, b: FileSignature) -> Bool { a.name == b.name }

  /// First bytes of a file that are enough for every signature.
  public static let bytesNeeded = 512

  /// The format of a file that begins with `first`; nil for text, and for what is not in the list.
  public init?(_ first: some Collection<UInt8>) {
    let first = Array(first.prefix(FileSignature.bytesNeeded))
    func begins(_ bytes: [UInt8], at offset: Int = 0) -> Bool { first.count >= offset && first[offset...].starts(with: bytes) }
    func begins(_ text: String, at offset: Int = 0) -> Bool { begins(Array(text.utf8), at: offset) }
    /// Letters alone could be the beginning of a text.
    var isBinary: Bool { first.contains { $0 < 0x09 } }
    /// JSON or white space whose first letter has these numbers of zeros before and after it. No text in UTF-8 has any.
    func lines(_ before: Int, _ after: Int) -> Bool {
      guard first.count > before + after, "{[ \t\r\n".utf8.contains(first[before]) else { return false }
      return begins([UInt8](repeating: 0, count: before)) && begins([UInt8](repeating: 0, count: after), at: before + 1)
    }
    let found: (String, Kind)?
    switch first {
    case _ where begins("PAR1"), _ where begins("PARE"): found = ("Parquet", .table)
    case _ where begins("ORC") && isBinary: found = ("ORC", .table)
    case _ where begins("Obj\u{1}"): found = ("an Avro container", .table)
    case _ where begins("ARROW1"), _ where begins("FEA1"), _ where begins([0xFF, 0xFF, 0xFF, 0xFF]): found = ("Arrow", .table)
    case _ where begins("SEQ") && isBinary: found = ("a Hadoop SequenceFile", .table)
    case _ where begins("SQLite format 3\0"): found = ("a SQLite database", .database)
    case _ where begins("DUCK", at: 8) && isBinary: found = ("a DuckDB database", .database)
    case _ where begins([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00]): found = ("xz", .compression(command: "xz -dc"))
    case _ where begins("BZh") && first.count > 4 && (begins([0x31, 0x41, 0x59, 0x26], at: 4) || begins([0x17, 0x72, 0x45, 0x38], at: 4)):
      found = ("bzip2", .compression(command: "bzip2 -dc"))
    case _ where begins([0x04, 0x22, 0x4D, 0x18]), _ where begins([0x02, 0x21, 0x4C, 0x18]):
      found = ("lz4", .compression(command: "lz4 -dc"))
    case _ where begins([0xFF, 0x06, 0x00, 0x00, 0x73, 0x4E, 0x61, 0x50, 0x70, 0x59]):
      found = ("snappy", .compression(command: "snzip -dc"))
    case _ where begins([0x82, 0x53, 0x4E, 0x41, 0x50, 0x50, 0x59, 0x00]): found = ("snappy", .compression(command: "snzip -dc"))
    case _ where begins("LZIP\u{1}"): found = ("lzip", .compression(command: "lzip -dc"))
    case _ where begins([0x5D, 0x00, 0x00]): found = ("lzma", .compression(command: "xz -dc -F lzma"))
    case _ where begins([0x1F, 0x9D]): found = ("compress (.Z)", .compression(command: "gzip -dc"))
    case _ where begins([0x1F, 0x8B]): found = ("gzip", .compression(command: "gzip -dc"))
    case _ where begins([0x28, 0xB5, 0x2F, 0xFD]): found = ("zstd", .compression(command: "zstd -dc"))
    case _ where begins([0x50, 0x4B, 0x03, 0x04]), _ where begins([0x50, 0x4B, 0x05, 0x06]): found = ("a zip archive", .archive)
    case _ where begins([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C]): found = ("a 7z archive", .archive)
    case _ where begins("Rar!\u{1A}\u{7}"): found = ("a rar archive", .archive)
    case _ where begins("ustar", at: 257) && isBinary: found = ("a tar archive", .archive)
    case _ where begins([0xFF, 0xFE, 0x00, 0x00]), _ where begins([0x00, 0x00, 0xFE, 0xFF]): found = ("UTF-32 text", .encoding("UTF-32"))
    case _ where begins([0xFF, 0xFE]), _ where begins([0xFE, 0xFF]): found = ("UTF-16 text", .encoding("UTF-16"))
    case _ where lines(0, 3): found = ("UTF-32 text", .encoding("UTF-32LE"))
    case _ where lines(3, 0): found = ("UTF-32 text", .encoding("UTF-32BE"))
    case _ where lines(0, 1): found = ("UTF-16 text", .encoding("UTF-16LE"))
    case _ where lines(1, 0): found = ("UTF-16 text", .encoding("UTF-16BE"))
    case _ where begins("WEIRCAP1"): found = ("a segment of a live capture", .segment)
    default: found = nil
    }
    guard let found else { return nil }
    (name, kind) = found
  }

  /// What to do with a capture file of this format.
  /// - Parameters:
  ///   - path: `-` is standard input.
  ///   - content: what its reader expects.
  public func captureAdvice(_ path: String, for content: CaptureContent = .jsonLines) -> Wording {
    let path = path == "-" ? "FILE" : path
    return switch kind {
    case .table where content.bytes != .json, .database where content.bytes != .json:
      "Name files with \(content.name). Or export the records in this form, and name the file with them."
    case .compression(let command):
      "Captures are plain, gzip or zstd. Uncompress it: \(.readFrom(command: "\(command) \(path)"))"
    case .archive: "Extract it, then name the files in it."
    case .table:
      "A plain capture has one JSON object per line. Export the records, for example with DuckDB: COPY (FROM '\(path)') TO 'capture.ndjson' (FORMAT json)"
    case .encoding(let name): "Captures are UTF-8. Convert it: \(.readFrom(command: "iconv -f \(name) -t UTF-8 \(path)"))"
    case .database: "A plain capture has one JSON object per line. Export a table's rows in this form."
    case .segment: "Name \(.captureDirectory), not a file in it."
    }
  }
}
