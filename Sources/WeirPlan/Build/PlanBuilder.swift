import WeirCore
import WeirOperators

/// Builds a ``Plan`` part by part and owns the checks of what it means; a front door (YAML, SQL, Swift) only parses.
///
/// The parts are given in the order in which they depend on each other: fields, key and time; source; lookups; then everything else.
/// A part that is wrong is reported with its place in ``diagnostics`` and left out; ``build()`` throws all errors at once.
package final class PlanBuilder {
  package let diagnostics: DiagnosticList
  package private(set) var plan: Plan
  /// The files of the plan's lookups.
  package private(set) var tables: [LookupTable] = []
  /// Where parts were written, for checks of the whole: `dedup`, `gold.NAME.window`, `lookups.NAME`.
  package var spans: [String: SourceSpan] = [:]
  /// Windows whose lateness was written down.
  var statedLateness: Set<String> = []
  /// Of all expressions so far.
  var expressionsSize = 0
  /// A table was named, if perhaps in vain.
  package var namesTables = false
  /// State tables are named, if perhaps in vain.
  package var namesState = false
  /// Set by ``source(_:)``.
  var hasSource = false

  /// A lookup was named, if perhaps in vain.
  package var namesLookups = false
  /// Of the files of all lookups so far.
  var lookupBytes = 0
  /// Reads the files of lookups.
  package var lookupFiles: LookupFiles = { file throws(InputFile.Refusal) in try InputFile.lookup(file) }
  /// Paths in the plan are relative to it.
  package let directory: String

  /// - Parameter file: where the plan was written, for diagnostics; paths in the plan are relative to its directory.
  package init(file: String) {
    diagnostics = DiagnosticList(file: file)
    directory = Paths.directory(of: file)
    plan = Plan(
      pipeline: "", source: SourceSpec(stream: "", settings: NoSource()), record: RecordSpec(fields: [], key: nil, time: nil), inputs: [])
  }

  /// Changes parts of the plan that need no check of their own, such as paths and intervals.
  package func set(_ body: (inout Plan) -> Void) { body(&plan) }

  /// - Parameter source: nil if it cannot be read, which was reported.
  package func source(_ source: SourceSpec?) {
    guard let source else { return }
    (plan.source, hasSource) = (source, true)
  }

  /// Adds a lookup with its rows.
  func add(_ spec: LookupSpec, _ table: LookupTable) {
    plan.lookups.append(spec)
    tables.append(table)
  }

  /// What expressions may refer to, after fields and lookups are known.
  package func makeInputs() {
    var all = plan.record.fields.enumerated().map { InputColumn(name: $1.name, type: $1.type, nullable: !$1.required, origin: .field($0)) }
    // Columns that no object has come last: the places of all others do not depend on them.
    var absent: [InputColumn] = []
    for (l, lookup) in plan.lookups.enumerated() {
      let there = lookup.columns.count - tables[l].absentColumns
      for (c, column) in lookup.columns.enumerated() {
        let input = InputColumn(
          name: "\(lookup.name).\(column.name)", type: column.type, nullable: true, origin: .lookup(lookup: l, column: c))
        if c < there { all.append(input) } else { absent.append(input) }
      }
    }
    for system in SystemColumn.allCases where system != .kind || plan.record.route != nil {
      let type: ColumnType = system == .arrival ? .timestamp : system == .position ? .int64 : .string
      all.append(InputColumn(name: system.rawValue, type: type, nullable: false, origin: .system(system)))
    }
    plan.inputs = all + absent
  }

  /// Checks the plan as a whole.
  /// - Parameter span: of the plan itself.
  /// - Throws: all errors; the warnings are in ``diagnostics``.
  package func build(at span: SourceSpan? = nil) throws(ConfigurationError) -> Plan {
    dropAbsentColumns()
    checkWhole(at: span)
    guard !diagnostics.hasErrors else { throw ConfigurationError(diagnostics: diagnostics.all) }
    return plan
  }

  // MARK: Names and bounds

  /// Names of tables are names of directories.
  package func isTableName(_ name: PlanText, _ what: String, dots: Bool = false) -> Bool {
    let text = name.text
    let allowed = text.utf8.allSatisfy { c in
      (c >= 0x30 && c <= 0x39) || (c | 0x20 >= 0x61 && c | 0x20 <= 0x7A) || c == 0x5F || c == 0x2D || (dots && c == 0x2E)
    }
    let problem: String? =
      if !allowed || text.isEmpty {
        "can contain only letters, digits, - and _"
      } else if text.utf8.count > 200 {
        "has at most 200 letters, and this one has \(text.utf8.count)"
      } else if text.first == "." || text.first == "_" {
        "cannot begin with . or _"
      } else { nil }
    guard let problem else { return true }
    diagnostics.report("\(what): a name \(problem) (\(text.shortened(toBytes: 250)))", "bad_name", at: name.span)
    return false
  }

  /// Adds an expression to what the plan has already.
  func counted(_ expr: Expr) throws(ExpressionError) -> Expr {
    expressionsSize += expr.size
    guard expressionsSize <= PipelineBounds.expressionsSizeMax else {
      throw ExpressionError("from here on, all expressions of the pipeline together are too large (pipeline_expressions)", at: 0)
    }
    return expr
  }

  func counted(_ columns: [OutputColumn]) throws(ExpressionError) -> [OutputColumn] {
    guard columns.count <= PipelineBounds.columnsMax else {
      throw ExpressionError("a table can have at most \(PipelineBounds.columnsMax) columns (pipeline_columns)", at: 0)
    }
    for column in columns { _ = try counted(column.expr) }
    return columns
  }

  /// - Parameter inputs: nil: those of the plan.
  func condition(_ text: PlanText, _ what: String, inputs: [InputColumn]? = nil) -> Expr? {
    do throws(ExpressionError) {
      let condition = try counted(compileCondition(text.text, inputs: inputs ?? plan.inputs))
      warnOfNull([condition], what, text)
      return condition
    } catch {
      diagnostics.report(error, in: what, of: text)
      return nil
    }
  }

  /// A comparison with null is null for every record: `check` passes it, because SQL does, and a ledger may have it.
  func warnOfNull(_ expressions: [Expr], _ what: String, _ text: PlanText) {
    guard let found = expressions.lazy.compactMap(\.nullComparison).first else { return }
    let instead = found.instead.map { ": write \($0.shortened(toBytes: 200))" } ?? ""
    diagnostics.report(
      "\(what): \(found.text.shortened(toBytes: 200)) is null for every record, and never true\(instead)",
      "null_comparison", at: text.span, severity: .warning)
  }
}

/// Stands for the source as long as there is none.
private struct NoSource: SourceSettings {
  static let adapter = "none"
  var live: LiveSourceTraits? { nil }
  var meaning: NoSource { self }
  func reads(_ stream: String) -> Bool { false }
}
