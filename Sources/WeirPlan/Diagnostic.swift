import WeirCore

/// Something about a pipeline file, with its place.
package struct Diagnostic: Sendable, Hashable {
  package enum Severity: String, Sendable { case error, warning }

  /// The part of the pipeline in which it is, where other problems may follow from it.
  package enum Part: Sendable, Hashable {
    /// The declaration of a field or lookup, whose name expressions use.
    case declaration(String)
    /// A table, such as `silver` or `gold.views`.
    case table(String)
    case lakePath
  }

  /// What may follow from another problem.
  package enum Fault: Sendable, Hashable {
    /// There is no column or field of this name.
    case unknownColumn(String)
    /// A table is partitioned by a column that it has not.
    case unknownPartition
    /// No column is left that a table needs.
    case noColumns
  }

  package var severity: Severity
  /// A stable word: `unknown_key`, `missing_key`, `unknown_column`, `expression`, `bad_value`, `not_yet`, `impossible_window`, `too_large`, `too_many`, …
  package var code: String
  package var message: String
  /// The nearest right name.
  package var suggestion: String?
  package var file: String
  /// 1-based.
  package var line: Int
  package var column: Int
  /// nil: no other problem follows from it by its part.
  package var part: Part?
  /// nil: it follows from no other problem.
  package var fault: Fault?

  package init(
    severity: Severity, code: String, message: String, suggestion: String? = nil, file: String, line: Int, column: Int
  ) {
    (self.severity, self.code, self.message, self.suggestion) = (severity, code, message, suggestion)
    (self.file, self.line, self.column) = (file, line, column)
  }

  package var text: String {
    let hint = suggestion.map { " (did you mean \($0)?)" } ?? ""
    return "\(file):\(line):\(column): \(severity.rawValue): \(message)\(hint) [\(code)]"
  }

  /// What stands beside the message in a line of the log; the line has a message and a level of its own.
  package var logMembers: [JSONValue.Member] {
    [.init("event", .string("plan_\(severity.rawValue)"))]
      + (json.members ?? []).filter { !["severity", "message"].contains($0.name) }
  }

  package var json: JSONValue {
    .members([
      "severity": .string(severity.rawValue), "code": .string(code), "message": .string(message),
      "suggestion": suggestion.map { .string($0) } ?? .null, "file": .string(file), "line": .int(Int64(line)),
      "column": .int(Int64(column)),
    ])
  }
}

/// A pipeline file that cannot be used: everything that is wrong with it.
package struct ConfigurationError: Error, Sendable, CustomStringConvertible {
  package var diagnostics: [Diagnostic]

  package init(diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }

  package var description: String { diagnostics.map(\.text).joined(separator: "\n") }
}
