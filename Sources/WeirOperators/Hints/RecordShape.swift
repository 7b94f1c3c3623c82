/// What the bytes of a record that is not a JSON object look like: judged from one record alone, for a hint.
enum RecordShape {
  /// Bytes that are looked at.
  private static let bytesMax = 4096

  /// What it is and what to do; nil: nothing is evident.
  /// - Parameter framing: how records follow each other in a capture; nil: as lines.
  static func hint(_ record: some Collection<UInt8>, _ framing: JSONFormat.Framing? = nil) -> String? {
    let bytes = Array(record.prefix(bytesMax))
    if let binary = binary(bytes) { return binary }
    let text = trimmed(bytes)
    guard let first = text.first, let last = text.last else { return nil }
    switch first {
    // Of a longer record, the last byte of what is looked at says nothing.
    case 0x7B: return object(text, last, isLine: framing == nil && record.count <= bytesMax)
    case 0x5B: return isLogLine(text) ? log : framing == .array ? nil : array
    case 0x7D, 0x5D: return text.count <= 2 && framing == nil ? pretty : nil
    case 0x3C: return isSyslog(text) ? log : "this looks like XML: Weir reads JSON, one object per line"
    case 0x22 where isMember(text) && framing == nil: return pretty
    default: return lines(text)
    }
  }

  // MARK: Binary

  private static let magic: [(bytes: [UInt8], name: String)] = [
    (Array("PAR1".utf8), "a Parquet file"), (Array("Obj\u{1}".utf8), "an Avro file"), (Array("ORC".utf8), "an ORC file"),
    ([0x1F, 0x8B], "gzip"), ([0x28, 0xB5, 0x2F, 0xFD], "zstd"), (Array("BZh".utf8), "bzip2"), ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "xz"),
    ([0x50, 0x4B, 0x03, 0x04], "a zip file"),
  ]

  static func binary(_ bytes: [UInt8]) -> String? {
    if let known = magic.first(where: { bytes.starts(with: $0.bytes) }) {
      return "this looks like \(known.name): Weir reads JSON, one object per line; convert it first"
    }
    func isUTF(_ bits: Int) -> String { "this looks like UTF-\(bits): convert it to UTF-8 first (iconv -f UTF-\(bits) -t UTF-8)" }
    let isMarked = bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
    let zeros = bytes.reduce(0) { $0 + ($1 == 0 ? 1 : 0) }
    // Of a letter's four bytes three are zero; a line's end is cut off after the first of them.
    if bytes.count >= 8, zeros * 10 >= bytes.count * 7, zeros * 10 <= bytes.count * 8 { return isUTF(32) }
    if isMarked || bytes.count >= 2 && zeros * 3 >= bytes.count && zeros * 3 <= bytes.count * 2 {
      return isUTF(16)
    }
    let controls = bytes.reduce(0) { $0 + ($1 < 0x20 && ![0x09, 0x0A, 0x0D, 0x1B].contains($1) ? 1 : 0) }
    if controls > 0 { return "this is binary data, not text: Weir reads JSON, one object per line" }
    return nil
  }

  // MARK: Parts of JSON

  private static let pretty =
    "this looks like JSON with several lines per record: a capture needs format: {json: {framing: concatenated}}, or one object per line (`jq -c .`)"
  private static let array =
    "this looks like a JSON array: a capture needs format: {json: {framing: array}}, or one object per line (`jq -c '.[]'`)"

  /// - Parameter isLine: the record ends with its line.
  private static func object(_ text: [UInt8], _ last: UInt8, isLine: Bool) -> String? {
    if isLine, let cut = cutOff(text, last) { return cut }
    if let habit = JSONHabits.hint(text) { return habit }
    guard isLine, last == 0x7D, contains(text, "}{", "} {") else { return nil }
    return
      "more than one JSON object in a line: a capture needs format: {json: {framing: concatenated}}, or one object per line (`jq -c .`)"
  }

  private static func cutOff(_ text: [UInt8], _ last: UInt8) -> String? {
    if last == 0x2C, text.dropLast().last(where: { $0 != 0x20 }) == 0x7D {
      return
        "this looks like a part of a JSON array: a record ends with a comma; a capture needs format: {json: {framing: array}}, or one object per line (`jq -c '.[]'`)"
    }
    // A line of a printed object has one member.
    if last == 0x2C, count(text, 0x2C) > 1 { return "the record ends inside a JSON object: it was cut off, or continues on the next line" }
    return text.count == 1 || last == 0x2C || last == 0x7B ? pretty : nil
  }

  /// `"name": …`, as a line of its own.
  private static func isMember(_ text: [UInt8]) -> Bool {
    guard let end = text.dropFirst().firstIndex(of: 0x22) else { return false }
    return text[(end + 1)...].first { $0 != 0x20 } == 0x3A
  }

  // MARK: Lines of text

  private static let log =
    "this looks like a line of a text log: say its pattern, format: {text: {pattern: '…'}}; nginx, apache, alb, syslog and syslog_bsd are ready patterns, and logfmt is a format"

  private static func lines(_ text: [UInt8]) -> String? {
    if ["data:", "event:", "retry:"].contains(where: { text.starts(with: $0.utf8) }) {
      return "this looks like server-sent events: Weir reads JSON, one object per line; `sed -n 's/^data: *//p'` keeps the data"
    }
    if isLogLine(text) { return log }
    let separators: [(byte: UInt8, name: String)] = [
      (0x09, "tabs (TSV)"), (0x2C, "commas (CSV)"), (0x3B, "semicolons (CSV)"), (0x7C, "bars"),
    ]
    let found = separators.map { separator in (separator.name, count(text, separator.byte)) }.filter { $0.1 > 0 }
    // Sentences have a comma or two; a table's lines have little else between their values.
    if let best = found.max(by: { $0.1 < $1.1 }), best.1 >= 2 || !isSentence(text) {
      let format =
        best.0.contains("TSV")
        ? "tsv: {header: true}"
        : best.0.contains("commas") ? "csv: {header: true}" : "csv: {header: true, delimiter: '\(best.0.contains("semi") ? ";" : "|")'}"
      return "this looks like a table with \(best.0): write format: {\(format)}, and the columns in their order as fields"
    }
    if isDated(text) { return log }
    return isSentence(text)
      ? "this is a text and no JSON: if all records are such lines, say their pattern, format: {text: {pattern: '…'}}; if only some are, nothing need be done"
      : nil
  }

  /// `1.2.3.4 - - [01/Mar/2026:13:00:00 +0100] "GET / HTTP/1.1" …`, `<34>…`, `[2026-01-01 …] …`, `level=info msg=…`.
  private static func isLogLine(_ text: [UInt8]) -> Bool {
    if isSyslog(text) || contains(text, "] \"", " - - [") || contains(text, "\"GET ", "\"POST ") { return true }
    if text[0] == 0x5B { return contains(text, "] ", "]: ") && text.dropFirst().first.map { $0 != 0x7B && $0 != 0x22 } == true }
    if isDated(text) { return count(text, 0x2C) < 2 && count(text, 0x09) < 2 && count(text, 0x3B) < 2 && isSentence(text) }
    return count(text, 0x3D) >= 2 && count(text, 0x20) >= 1 && count(text, 0x2C) < 2
  }

  private static func isSyslog(_ text: [UInt8]) -> Bool {
    guard text[0] == 0x3C, let end = text.firstIndex(of: 0x3E), end > 1, end <= 4 else { return false }
    return text[1..<end].allSatisfy { $0 &- 0x30 < 10 }
  }

  /// Begins with `2026-01-31`, or a month as syslog has it.
  private static func isDated(_ text: [UInt8]) -> Bool {
    if text.count >= 10, text[4] == 0x2D, text[7] == 0x2D { return text.prefix(4).allSatisfy { $0 &- 0x30 < 10 } }
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return text.count > 4 && text[3] == 0x20 && months.contains(String(decoding: text.prefix(3), as: UTF8.self))
  }

  private static func isSentence(_ text: [UInt8]) -> Bool { count(text, 0x20) >= 3 }

  // MARK: Bytes

  private static func count(_ text: [UInt8], _ byte: UInt8) -> Int { text.reduce(0) { $0 + ($1 == byte ? 1 : 0) } }

  private static func contains(_ text: [UInt8], _ any: String...) -> Bool {
    any.contains { needle in
      let needle = Array(needle.utf8)
      guard text.count >= needle.count else { return false }
      return (0...text.count - needle.count).contains { text[$0..<$0 + needle.count].elementsEqual(needle) }
    }
  }

  /// Without a byte-order mark, and white space around.
  private static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
    func isSpace(_ c: UInt8) -> Bool { c == 0x20 || c == 0x09 || c == 0x0A || c == 0x0D }
    let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
    guard let first = text.firstIndex(where: { !isSpace($0) }), let last = text.lastIndex(where: { !isSpace($0) }) else { return [] }
    return Array(text[first...last])
  }
}
