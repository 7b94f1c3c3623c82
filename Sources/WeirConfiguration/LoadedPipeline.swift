import Foundation
import WeirCore
import WeirOperators
import WeirPlan

/// A pipeline file that may run.
package struct LoadedPipeline: Sendable {
  package var plan: Plan
  package var file: String
  /// Paths in the file are relative to this.
  package var directory: String
  package var lookups: [LookupTable]
  package var warnings: [Diagnostic]
  /// Settings that name a variable of the environment which is not set. Only who uses them is stopped by that: a table can be read,
  /// and a ledger verified, where no password is.
  package var unset: [UnsetVariable] = []
  /// It has state tables, also where their columns are not known.
  package var namesState = false

  /// A pipeline file whose lookups are not read: enough to find its lake, its state table and its source. What needs their columns is left
  /// out, and so are the problems that follow from it.
  /// - Returns: nil: it has no lookups, or is no pipeline file.
  package static func withoutLookups(
    file: String, sections: PlanSections
  ) throws(ConfigurationError) -> (pipeline: LoadedPipeline, problems: [Diagnostic])? {
    guard PathText.problem(file) == nil, case .bytes(let data) = Paths.contents(of: file, bytesMax: PipelineBounds.fileBytesMax) else {
      return nil
    }
    var sections = sections
    sections.lookupFiles = { _ throws(InputFile.Refusal) in throw .notAsked }
    let loader = PipelineLoader(file: file, sections: sections)
    _ = try? loader.load(PipelineLoader.text(data, file))
    guard loader.builder.namesLookups, !loader.builder.plan.pipeline.isEmpty else { return nil }
    // An expression may use a column of a lookup by its bare name, and what is wrong with it then is not known.
    let problems = FollowUps.removed(from: loader.reader.diagnostics).filter {
      $0.severity == .error && $0.code != InputFile.Refusal.notAskedCode && $0.code != "expression"
    }
    var pipeline = LoadedPipeline(
      plan: loader.builder.plan, file: file, directory: loader.directory, lookups: [], warnings: [], unset: loader.reader.unset)
    pipeline.namesState = loader.builder.namesState
    return (pipeline, problems)
  }

  /// - Parameter needed: whether a setting, such as `source.kafka.brokers`, is going to be used.
  package func requireVariables(_ needed: (String) -> Bool) throws(ConfigurationError) {
    let missing = unset.filter { needed($0.setting) }
    if !missing.isEmpty { throw ConfigurationError(diagnostics: missing.map { $0.diagnostic(.error) }) }
  }
}

/// A setting `{env: NAME}` whose variable is not set.
package struct UnsetVariable: Sendable {
  package var setting: String
  package var name: String
  package var file: String
  /// 1-based.
  package var line: Int
  package var column: Int

  package func diagnostic(_ severity: Diagnostic.Severity) -> Diagnostic {
    Diagnostic(
      severity: severity, code: "no_variable",
      message: "\(setting): the environment variable \(name) is not set, or empty; set it where the pipeline runs",
      suggestion: nil, file: file, line: line, column: column)
  }
}

/// Reads and checks a pipeline file. Every problem is found at once, each with file, line, column, reason and, where there is
/// one, the nearest right name.
/// - Parameter sections: the sources and sinks that the file may name.
package func loadPipeline(file: String, sections: PlanSections) throws(ConfigurationError) -> LoadedPipeline {
  if let problem = PathText.problem(file) {
    throw ConfigurationError(diagnostics: [
      Diagnostic(
        severity: .error, code: "no_file", message: "the pipeline file: \(problem.reason). \(problem.advice)", suggestion: nil, file: file,
        line: 1, column: 1)
    ])
  }
  switch Paths.contents(of: file, bytesMax: PipelineBounds.fileBytesMax) {
  case .bytes(let data):
    return try loadPipeline(yaml: PipelineLoader.text(data, file), file: file, sections: sections)
  case .tooLarge(let bytes): throw ConfigurationError(diagnostics: [PipelineLoader.tooLarge(file, bytes)])
  case .unreadable:
    let message = "the pipeline file cannot be read: \(Paths.whyUnreadable(file)); give the path of a YAML file"
    throw ConfigurationError(diagnostics: [
      Diagnostic(severity: .error, code: "no_file", message: message, suggestion: nil, file: file, line: 1, column: 1)
    ])
  }
}

package func loadPipeline(yaml: String, file: String, sections: PlanSections = .standard) throws(ConfigurationError) -> LoadedPipeline {
  let loader = PipelineLoader(file: file, sections: sections)
  return try loader.load(yaml)
}

extension PipelineLoader {
  /// - Throws: an error that names the format of a file that is not text in UTF-8, or the first byte that is none. (Repaired, the text would
  ///   have another meaning.)
  static func text(_ data: Data, _ file: String) throws(ConfigurationError) -> String {
    func refuse(_ message: String, line: Int = 1, column: Int = 1) -> ConfigurationError {
      ConfigurationError(diagnostics: [
        Diagnostic(severity: .error, code: "yaml", message: message, suggestion: nil, file: file, line: line, column: column)
      ])
    }
    if let found = FileSignature(data.prefix(FileSignature.bytesNeeded)) {
      throw refuse("the pipeline file is \(found.name), and not YAML in UTF-8")
    }
    if let text = String(validating: data, as: UTF8.self) { return text }
    var (line, column, count) = (1, 1, 0)
    var (decoder, bytes) = (UTF8(), data.makeIterator())
    reading: while true {
      switch decoder.decode(&bytes) {
      case .scalarValue(let scalar):
        count += UTF8.width(scalar)
        (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1)
      case .error, .emptyInput: break reading
      }
    }
    let byte = data.dropFirst(count).first.map { " (byte 0x\(String($0, radix: 16, uppercase: true)))" } ?? ""
    throw refuse(
      "the pipeline file is not UTF-8\(byte): save it in UTF-8 (`iconv -f latin1 -t utf-8` converts a file in Latin-1)",
      line: line, column: column)
  }
}
