import WeirCore
import WeirOperators
import WeirS3Settings

/// A lookup, as a front door has parsed it.
package struct PlanLookup {
  package var name: PlanText
  /// A path, or an address of an object store.
  package var file: PlanText
  /// `csv` or `ndjson`; nil: as the file's name says, else CSV.
  package var format: PlanText?
  package var key: PlanText
  /// Types of columns that are not texts, as a record's fields have them.
  package var columns: [(name: String, type: PlanText)]
  /// How often a live worker looks for another version of the file; nil: only when it starts.
  package var refresh: PlanDuration?
  package var span: SourceSpan?

  package init(
    _ name: PlanText, file: PlanText, format: PlanText? = nil, key: PlanText, columns: [(name: String, type: PlanText)] = [],
    refresh: PlanDuration? = nil, at span: SourceSpan? = nil
  ) {
    (self.name, self.file, self.format, self.key, self.columns) = (name, file, format, key, columns)
    (self.refresh, self.span) = (refresh, span)
  }
}

extension PlanBuilder {
  /// Reads a lookup's file and checks it. After the fields, one of which is the key.
  package func lookup(_ written: PlanLookup) {
    let what = "lookups.\(written.name.text)"
    namesLookups = true
    guard isTableName(written.name, "lookups"), isPlace(written.file, "\(what).file"), let format = format(of: written, what),
      let key = index(of: written.key, "\(what).key")
    else { return }
    let types = types(of: written, what)
    let path = S3Location.accepts(written.file.text) ? written.file.text : Paths.resolve(written.file.text, in: directory)
    guard let bytes = lookupFile(written.name.text, path, what, written.file.span) else { return }
    let content = CaptureContent(format.title, format == .csv ? .text : .json)
    if let found = content.foreign(bytes.prefix(FileSignature.bytesNeeded)) {
      diagnostics.report("\(what): the file \(path) is \(found.name), and not \(format.title) in UTF-8", "lookup", at: written.file.span)
      return
    }
    let field = plan.record.fields[key]
    do throws(WeirError) {
      let table = try LookupTable(
        name: written.name.text, bytes: bytes, file: path, format: format, key: field.name, keyType: field.type, types: types)
      spans[what] = written.span
      for (column, type) in written.columns where column != field.name && !table.columns.contains(where: { $0.name == column }) {
        diagnostics.report(
          "\(what).columns.\(column): the file has no such column in its first line, so the type has no effect", "no_effect", at: type.span,
          suggestion: nearestName(column, in: table.columns.map(\.name)), severity: .warning)
      }
      let spec = LookupSpec(
        name: written.name.text, file: written.file.text, format: format == .csv ? nil : format.rawValue, key: key, columns: table.columns,
        refreshMicroseconds: written.refresh.flatMap { refresh($0, what) })
      add(spec, table)
    } catch { diagnostics.report("\(what): \(error.message)", "lookup", at: written.file.span) }
  }

  /// A look is a request where the file is in S3.
  private static let refreshMin: Int64 = 1_000_000

  private func refresh(_ refresh: PlanDuration, _ what: String) -> Int64? {
    guard let microseconds = refresh.microseconds() else { return nil }
    guard microseconds >= PlanBuilder.refreshMin, microseconds <= QuantityText.durationMax else {
      diagnostics.report(
        "\(what).refresh: \(refresh.text) is not between 1s and 36500d; without refresh the file is read at the start only",
        "bad_duration", at: refresh.span)
      return nil
    }
    return microseconds
  }

  private func isPlace(_ file: PlanText, _ what: String) -> Bool {
    guard S3Location.accepts(file.text) else { return diagnostics.isPath(file, what) }
    guard let problem = PathText.lakeProblem(file.text) else { return true }
    diagnostics.report("\(what): \(problem.reason). \(problem.advice)", "bad_path", at: file.span)
    return false
  }

  private func format(of written: PlanLookup, _ what: String) -> LookupFormat? {
    guard let text = written.format else { return LookupFormat(name: written.file.text) ?? .csv }
    if let format = LookupFormat(rawValue: text.text) { return format }
    diagnostics.report(
      "\(what).format: unknown format \(text.text); it can be \(LookupFormat.allCases.map(\.rawValue).joined(separator: " or "))",
      "bad_value", at: text.span)
    return nil
  }

  private func types(of written: PlanLookup, _ what: String) -> [String: ColumnType] {
    var types: [String: ColumnType] = [:]
    for (column, type) in written.columns {
      if let parsed = FieldType.parse(column, type.text), parsed.encoding == .natural, !parsed.type.isNested {
        types[column] = parsed.type
      } else {
        diagnostics.report(
          "\(what).columns.\(column): unknown type \(type.text)", "bad_type", at: type.span,
          suggestion: FieldType.suggestion(type.text))
      }
    }
    return types
  }

  private func lookupFile(_ name: String, _ path: String, _ what: String, _ span: SourceSpan?) -> [UInt8]? {
    do {
      let bytes = try lookupFiles(LookupFile(name: name, place: path, bytesMax: LookupTable.bytesMax - lookupBytes))
      lookupBytes += bytes.count
      return bytes
    } catch {
      switch error {
      case .tooLarge:
        diagnostics.report(
          "\(what): with the file \(path) the lookups have more than \(LookupTable.bytesMax) bytes (lookup_bytes); leave out rows or columns",
          "too_large", at: span)
      case .unavailable(let why):
        diagnostics.report("\(what): the object \(path) cannot be read now: \(why)", "unavailable", at: span)
      case .notAsked: diagnostics.report("\(what): \(path) was not read", InputFile.Refusal.notAskedCode, at: span)
      case .unreadable(let why): diagnostics.report("\(what): the file \(path) cannot be read: \(why)", "no_file", at: span)
      }
      return nil
    }
  }
}
