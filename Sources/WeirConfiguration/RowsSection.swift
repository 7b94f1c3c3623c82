import WeirCore
import WeirOperators
import Yams

/// `csv: {delimiter, quote, escape, header, columns, null, quoted_null, comment, trim, decimal}`, and the same of `tsv`.
struct RowsSection: FormatSection {
  let format: any RecordFormat.Type
  var shape: ValueShape? { .table(.rows(name)) }
  private let make: @Sendable (CSVDialect) -> any RecordFormat

  init(_ format: any RecordFormat.Type, _ make: @escaping @Sendable (CSVDialect) -> any RecordFormat) {
    (self.format, self.make) = (format, make)
  }

  func read(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)? {
    let what = "record.format.\(name)"
    let table = KeyTable.rows(name)
    let reader = loader.reader
    let members = reader.mapping(node, what, table)
    var dialect = CSVDialect(delimiter: format == TSVFormat.self ? "\t" : ",")
    func text(_ key: String) -> String? { members[key].flatMap { reader.string($0, "\(what).\(key)") } }
    if let delimiter = text("delimiter") { dialect.delimiter = RowsSection.character(delimiter) }
    if let quote = text("quote") { dialect.quote = quote == "none" ? "" : quote }
    for key in ["escape", "quoted_null"] where dialect.quote.isEmpty {
      guard let node = members[key] else { continue }
      reader.report("\(what).\(key): with quote: none no field is quoted: leave it out", "bad_value", at: node)
      return nil
    }
    // A quote within a quoted field is doubled.
    dialect.escape = text("escape") ?? dialect.quote
    dialect.comment = text("comment")
    if let decimal = text("decimal") { dialect.decimal = decimal }
    if let node = members["header"] { dialect.header = loader.truth(node, "\(what).header") }
    if let node = members["trim"] { dialect.trim = loader.truth(node, "\(what).trim") }
    if let node = members["quoted_null"] { dialect.quotedNulls = loader.truth(node, "\(what).quoted_null") }
    if let node = members["null"] { dialect.nulls = reader.strings(node, "\(what).null").map(\.text) }
    if let node = members["columns"] { dialect.columns = reader.strings(node, "\(what).columns").map(\.text) }
    guard let problem = dialect.problem else { return make(dialect) }
    let key = table.names.first { problem.hasPrefix($0) }
    reader.report("\(what): \(problem)", "bad_value", at: key.flatMap { members[$0] } ?? node)
    return nil
  }

  /// YAML's double quotes have `\t`; other quotes have it as two characters.
  private static func character(_ text: String) -> String { text == "\\t" || text == "tab" ? "\t" : text }
}

/// `text: {pattern: PATTERN, null: […]}`, where the pattern is a regular expression, perhaps with grok in it, or a ready one's name.
struct TextSection: FormatSection {
  let format: any RecordFormat.Type = TextFormat.self
  let shape: ValueShape? = .table(.pattern)
  let needsSettings = true

  func read(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)? {
    let reader = loader.reader
    let what = "record.format.text"
    let members = reader.mapping(node, what, .pattern)
    guard let at = reader.required(members, "pattern", of: what, at: node), let text = reader.string(at, "\(what).pattern") else {
      return nil
    }
    var format: TextFormat
    if let ready = ReadyPattern.named(text) {
      format = TextFormat(pattern: ready.pattern, nulls: ready.nulls, timeFormats: ready.timeFormats)
    } else {
      guard let pattern = pattern(text, at, reader) else { return nil }
      format = TextFormat(pattern: pattern)
    }
    if let node = members["null"] { format.nulls = reader.strings(node, "\(what).null").map(\.text) }
    guard format.nulls.count <= CSVDialect.nullsMax else {
      reader.report("\(what).null must have at most \(CSVDialect.nullsMax) texts", "bad_value", at: members["null"])
      return nil
    }
    return format
  }

  func plain(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)? {
    loader.reader.report("record.format.text needs a pattern: format: {text: {pattern: …}}", "missing_key", at: node)
    return nil
  }

  private func pattern(_ text: String, _ node: Node, _ reader: YAMLReader) -> String? {
    func refuse(_ why: String, _ offset: Int, _ suggestion: String? = nil) -> String? {
      reader.report("record.format.text.pattern: \(why)", "bad_value", at: node, offset: offset, in: text, suggestion: suggestion)
      return nil
    }
    let isWord = text.utf8.allSatisfy { $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A || $0 == 0x5F }
    if text == LogfmtFormat.name { return refuse("logfmt is a format of its own: write format: logfmt", 0) }
    if isWord {
      let names = ReadyPattern.all.map(\.name)
      return refuse("there is no ready pattern \(text): there are \(names.joined(separator: ", "))", 0, nearestName(text, in: names))
    }
    var expanded: Grok.Expansion?
    do throws(PatternFault) {
      let expansion = try Grok.expand(text)
      expanded = expansion
      let pattern = try LinePattern(expansion.text)
      if pattern.names.isEmpty { return refuse("it names no part of the line: write (?<name>…) or %{NAME:name}", 0) }
      return expansion.text
    } catch { return refuse(error.reason, expanded?.origin(of: error.offset) ?? error.offset) }
  }
}
