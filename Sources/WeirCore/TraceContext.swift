/// Who follows a record through the systems: the ids of a W3C `traceparent` header (Trace Context, level 1).
public struct TraceContext: Sendable, Hashable {
  /// 32 hex digits, in lower case, not all 0.
  public let traceID: String
  /// 16 hex digits, in lower case, not all 0.
  public let spanID: String

  /// Reads `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`. Later versions may have more after the flags.
  /// - Returns: nil for what the recommendation calls invalid.
  public init?(traceparent text: String) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, TraceContext.isHex(parts[0], 2), parts[0] != "ff", TraceContext.isHex(parts[3], 2),
      parts.count == 4 || parts[0] != "00", TraceContext.isID(parts[1], 32), TraceContext.isID(parts[2], 16)
    else { return nil }
    traceID = String(parts[1])
    spanID = String(parts[2])
  }

  /// Of a record's headers, as JSON text: `[["name", "value"], …]`. The first `traceparent` counts, in any case of letters.
  public init?(headers json: String) {
    guard json.utf8.count <= TraceContext.headersBytesMax, case .array(let headers)? = try? JSONValue(parsing: json.utf8) else {
      return nil
    }
    for header in headers {
      guard case .array(let pair) = header, pair.count == 2, case .string(let name) = pair[0], case .string(let value) = pair[1],
        name.utf8.count == 11, name.lowercased() == "traceparent"
      else { continue }
      self.init(traceparent: value)
      return
    }
    return nil
  }

  /// Headers that are longer are not looked through.
  private static let headersBytesMax = 64 << 10

  private static func isHex(_ text: Substring, _ count: Int) -> Bool {
    text.utf8.count == count && text.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x66) }
  }

  private static func isID(_ text: Substring, _ count: Int) -> Bool {
    isHex(text, count) && !text.utf8.allSatisfy { $0 == 0x30 }
  }
}
