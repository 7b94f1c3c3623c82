import WeirCore
import WeirOperators

/// A lookup, as a front door has parsed it.
public struct PlanLookup {
  public var name: PlanText
  public var file: PlanText
  public var key: PlanText
  /// Types of columns that are not texts, as a record's fields have them.
  public var columns: [(name: String, type: PlanText)]
  public var span: SourceSpan?

  public init(_ name: PlanText, file: PlanText, key: PlanText, columns: [(name: String, type: PlanText)] = [], at span: SourceSpan? = nil) {
    (self.name, self.file, self.key, self.columns, self.span) = (name, file, key, columns, span)
  }
}

extension PlanBuilder {
  /// Reads a lookup's file and checks it. After the fields, one of which is the key.
  public func lookup(_ written: PlanLookup) {
    let what = "lookups.\(written.name.text)"
    guard isTableName(written.name, "lookups"), diagnostics.isPath(written.file, "\(what).file"),
      let key = index(of: written.key, "\(what).key")
    else { return }
    let types = types(of: written, what)
    let path = Paths.resolve(written.file.text, in: directory)
    guard let bytes = lookupFile(path, what, written.file.span) else { return }
    if let found = FileSignature(bytes.prefix(FileSignature.bytesNeeded)) {
      diagnostics.report("\(what): the file \(path) is \(found.name), and not CSV in UTF-8", "lookup", at: written.file.span)
      return
    }
    let field = plan.record.fields[key]
    do throws(WeirError) {
      let table = try LookupTable(
        name: written.name.text, bytes: bytes, file: path, key: field.name, keyType: field.type, types: types)
      spans[what] = written.span
      add(LookupSpec(name: written.name.text, file: written.file.text, key: key, columns: table.columns), table)
    } catch { diagnostics.report("\(what): \(error.message)", "lookup", at: written.file.span) }
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

  private func lookupFile(_ path: String, _ what: String, _ span: SourceSpan?) -> [UInt8]? {
    do {
      let bytes = try InputFile.bytes(of: path, bytesMax: LookupTable.bytesMax - lookupBytes)
      lookupBytes += bytes.count
      return bytes
    } catch {
      switch error {
      case .tooLarge:
        diagnostics.report(
          "\(what): with the file \(path) the lookups have more than \(LookupTable.bytesMax) bytes (lookup_bytes); leave out rows or columns",
          "too_large", at: span)
      case .unreadable(let why): diagnostics.report("\(what): the file \(path) cannot be read: \(why)", "no_file", at: span)
      }
      return nil
    }
  }
}
