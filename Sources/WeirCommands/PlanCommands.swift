import WeirConfiguration
import WeirCore
import WeirEngine
import WeirPlan
import WeirReport
import WeirRuntime

/// `weir check`, `weir explain` and `weir schema`.
package enum PlanCommands {
  /// - Returns: 0, or 2 when the file is wrong.
  package static func check(_ file: String, json: Bool, console: Console) async -> Int32 {
    do throws(ConfigurationError) {
      let pipeline = try await LoadedPipeline.read(file)
      let warnings = pipeline.warnings + pipeline.unset.map { $0.diagnostic(.warning) } + [tooLarge(pipeline, file)].compactMap { $0 }
      for warning in warnings { show(warning, json, console) }
      if let problem = misplaced(pipeline, file) {
        show(problem, json, console)
        return 2
      }
      if !json { console.data("\(file): valid (pipeline \(pipeline.plan.pipeline))") }
      return 0
    } catch {
      for diagnostic in error.diagnostics { show(diagnostic, json, console) }
      return 2
    }
  }

  /// What is known of the lake and the state table without a request: that one is inside a table or a ledger.
  private static func misplaced(_ pipeline: LoadedPipeline, _ file: String) -> Diagnostic? {
    var problem: WeirError?
    do { problem = try Places(pipeline, lake: nil, store: nil).problemHere() } catch { problem = error as? WeirError }
    return problem.map {
      let words = $0.words.replacing("\n  ", with: ". ")
      return Diagnostic(severity: .error, code: "bad_place", message: words, file: file, line: 1, column: 1)
    }
  }

  /// Lookups for which the memory that the file names is too small.
  private static func tooLarge(_ pipeline: LoadedPipeline, _ file: String) -> Diagnostic? {
    guard let memory = pipeline.plan.worker?.memoryBytes else { return nil }
    do throws(WeirError) {
      try MemoryBudget(configured: memory, available: nil).check(pipeline.lookups)
      return nil
    } catch {
      return Diagnostic(
        severity: .warning, code: error.code.rawValue, message: "\(error.message): a worker will stop. \(error.advice?.words ?? "")",
        file: file,
        line: 1,
        column: 1)
    }
  }

  private static func show(_ diagnostic: Diagnostic, _ json: Bool, _ console: Console) {
    guard !json else { return console.data(diagnostic.json.text) }
    let style: TextStyle = diagnostic.severity == .error ? .bad : .warning
    console.talk(diagnostic.text, marking: " \(diagnostic.severity.rawValue): ", style)
  }

  /// Prints the schema of pipeline files.
  package static func schema(console: Console) -> Int32 {
    console.data(Array(PipelineSchema.text(.withClients).utf8))
    return 0
  }

  package static func explain(_ file: String, json: Bool, console: Console) async throws -> Int32 {
    let pipeline = try await LoadedPipeline.read(file)
    console.data(
      json ? ExplainDocument.json(pipeline.plan, lookups: pipeline.lookups).text : Explain.text(pipeline.plan, lookups: pipeline.lookups))
    return 0
  }
}
