import WeirCore

/// Why a record of text was probably rejected and what to do.
enum TextHint {
  private static let bytesMax = 4096

  static func of(
    _ rejection: Rejection, _ record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec, _ dialect: CSVDialect
  ) -> String? {
    let text = Array(record.prefix(bytesMax))
    if let other = other(rejection, text) { return other }
    let names = dialect.columnNames(spec.fields)
    guard let first = text.first else { return nil }
    let cells = cells(text, dialect)
    if dialect.header, cells != names, isHeader(cells, names) {
      return
        "this looks like a header with other columns, \(Printable.text(cells.joined(separator: ", "), bytesMax: 200)): write columns: [\(Printable.text(cells.joined(separator: ", "), bytesMax: 200))]"
    }
    if !dialect.header, cells == names { return "this is the header: write header: true, and lines like it are skipped" }
    guard rejection.reason.hasPrefix("wrong number of columns") else { return zone(rejection) }
    if first == 0x7B { return "this looks like JSON: write format: json" }
    let others: [(byte: UInt8, name: String)] = [(0x2C, "','"), (0x3B, "';'"), (0x09, "tab"), (0x7C, "'|'")]
    for (byte, name) in others where dialect.delimiter.utf8.first != byte {
      guard text.reduce(0, { $0 + ($1 == byte ? 1 : 0) }) == names.count - 1, names.count > 1 else { continue }
      return "with \(name) as the delimiter the number of columns is right: set delimiter"
    }
    return nil
  }

  static func ofText(_ rejection: Rejection, _ record: UnsafeBufferPointer<UInt8>) -> String? {
    let text = Array(record.prefix(bytesMax))
    if let other = other(rejection, text) { return other }
    if text.first == 0x7B, text.last == 0x7D { return "this looks like JSON: write format: json" }
    return zone(rejection)
  }

  /// At least half of the cells are names of columns, and none is a number.
  private static func isHeader(_ cells: [String], _ names: [String]) -> Bool {
    let known = cells.count(where: names.contains)
    return known > 0 && known * 2 >= min(cells.count, names.count) && !cells.contains { Double($0) != nil }
  }

  /// A JSON record that is text in another encoding, or has line ends without a line feed.
  static func ofEncoding(_ rejection: Rejection, _ record: some Collection<UInt8>) -> String? {
    if rejection.reason.hasPrefix("ill-formed UTF-8"), !record.contains(where: { $0 < 0x20 && ![0x09, 0x0A, 0x0D].contains($0) }) {
      return latin
    }
    let text = Array(record.prefix(bytesMax))
    guard text.first == 0x7B, zip(text, text.dropFirst()).contains(where: { $0 == 0x0D && $1 == 0x7B }) else { return nil }
    return "the lines end with carriage returns only: convert them with `tr '\\r' '\\n'`"
  }

  static let latin = "the text is not UTF-8: if it is Latin-1, convert it first (iconv -f LATIN1 -t UTF-8)"

  private static func other(_ rejection: Rejection, _ text: [UInt8]) -> String? {
    guard rejection.reason.hasPrefix("ill-formed UTF-8") else { return nil }
    if text.prefix(200).contains(0) { return "this looks like UTF-16: convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)" }
    return latin
  }

  private static func zone(_ rejection: Rejection) -> String? {
    guard rejection.reason.contains("needs a zone") || rejection.reason.contains("without a zone") else { return nil }
    return "the time has no zone: say which one it is in, NAME: {type: timestamp, zone: Europe/Berlin}"
  }

  private static func cells(_ text: [UInt8], _ dialect: CSVDialect) -> [String] {
    let mark: [UInt8] = text.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(text.dropFirst(3)) : text
    let delimiter = dialect.delimiter.utf8.first ?? 0x2C
    let quote = dialect.quote.utf8.first ?? 0
    return mark.split(separator: delimiter, omittingEmptySubsequences: false).map { cell in
      let plain = cell.filter { $0 != quote && $0 != 0x0D && $0 != 0x0A }
      return String(decoding: plain, as: UTF8.self)
    }
  }
}
