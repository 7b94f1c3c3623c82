import WeirConfiguration
import WeirCore
import WeirEngine
import WeirLMDB
import WeirLMDBSettings
import WeirPlan

/// A kind of state table, as the runtime uses it.
package protocol StateTableAdapter: Sendable {
  /// The type of its settings.
  var settings: any StateTableSettings.Type { get }
  var libraries: [LibraryVersion] { get }
  /// Reads its part of a pipeline file.
  var section: any StateTableSection { get }
  /// Whether a place, such as the command line has it, is of this kind.
  func accepts(_ place: String) -> Bool
  /// A place of this kind, as the command line has it, in its normal form.
  /// - Throws: `config` where it cannot be one.
  func checked(_ place: String) throws(WeirError) -> String
  /// Where the table of a plan is, whose file is in a directory.
  func place(_ settings: any StateTableSettings, in directory: String) -> String
  /// The directory of this machine that a table is in; nil: it is in a service.
  func directory(of place: String) -> String?
  /// Opens the table to write it, and makes it where it is missing.
  /// - Parameter memory: of the worker.
  func open(_ place: String, memory: MemoryBudget, thread: BlockingThreads) throws(WeirError) -> any StateTable
  /// Opens the table to read it.
  func read(_ place: String, thread: BlockingThreads) throws(WeirError) -> any StateTableReader
  /// For a table that is damaged: the place of a new one, which takes its place; nil: it is sound, or repairs itself.
  func replacement(of place: String) async throws -> StateTableReplacement?
  /// What a state table costs; empty: nothing but the machine.
  func costs(_ place: String, _ question: CostQuestion) -> [ServiceCost]
  /// Settings of the table or its server that would harm; empty: there are none to look at. Changes nothing.
  func examine(_ place: String, thread: BlockingThreads) async throws(WeirError) -> [StoreFinding]
}

extension StateTableAdapter {
  /// The key below `store`.
  var name: String { settings.adapter }

  package func directory(of place: String) -> String? { nil }
  package func replacement(of place: String) async throws -> StateTableReplacement? { nil }
  package func costs(_ place: String, _ question: CostQuestion) -> [ServiceCost] { [] }
  package func examine(_ place: String, thread: BlockingThreads) async throws(WeirError) -> [StoreFinding] { [] }
}

/// A state table that is written beside a damaged one.
package struct StateTableReplacement: Sendable {
  package var damage: WeirError
  /// Of the new table.
  package var place: String
  /// Puts the new table, closed, in the place of the damaged one.
  package var publish: @Sendable () throws -> Void
}

/// `store: {lmdb: DIR}`: a directory of this machine, what no other kind accepts.
struct LMDBAdapter: StateTableAdapter {
  var settings: any StateTableSettings.Type { LMDBSettings.self }
  var libraries: [LibraryVersion] { [LibraryVersion(name: "LMDB", version: LMDBLibrary.version)] }
  var section: any StateTableSection { LMDBSection() }

  func accepts(_ place: String) -> Bool { true }

  func checked(_ place: String) throws(WeirError) -> String {
    if let problem = PathText.problem(place) {
      let other = problem.isLater ? " A state table is a directory, dynamodb://TABLE or redis://HOST:PORT; a bucket can hold a lake." : ""
      throw WeirError(.config, problem.reason, advice: Wording(problem.advice + other))
    }
    return Paths.normal(place)
  }

  func place(_ settings: any StateTableSettings, in directory: String) -> String {
    Paths.resolve((settings as? LMDBSettings ?? LMDBSettings()).path, in: directory)
  }

  func directory(of place: String) -> String? { place }

  func open(_ place: String, memory: MemoryBudget, thread: BlockingThreads) throws(WeirError) -> any StateTable {
    try LMDBStateTable(path: place, pagesMax: memory.statePagesMax, thread: thread)
  }

  func read(_ place: String, thread: BlockingThreads) throws(WeirError) -> any StateTableReader {
    try LMDBStateTable(path: place, readOnly: true, thread: thread)
  }

  func replacement(of place: String) async throws -> StateTableReplacement? {
    guard let damage = try await LMDBStateTable.damage(in: place, thread: BlockingThreads(count: 1)) else { return nil }
    let replacement = try StateReplacement(store: place)
    return StateTableReplacement(damage: damage, place: replacement.path) { try replacement.publish() }
  }
}

extension AdapterRegistry {
  /// Where a plan's state table is.
  func stateTablePlace(_ store: StoreSpec, in directory: String) -> String {
    guard let adapter = stateTables.first(where: { $0.name == store.adapter }) ?? stateTables.first else {
      preconditionFailure("no adapter keeps state tables")
    }
    return adapter.place(store.settings, in: directory)
  }

  /// The directory of this machine that a state table is in; nil: it is in a service.
  func directory(ofStateTable place: String) -> String? { stateTableAdapter(place).directory(of: place) }

  /// Opens a state table to read it.
  package func stateTable(at place: String, thread: BlockingThreads = BlockingThreads(count: 1)) throws(WeirError) -> any StateTableReader {
    try stateTableAdapter(place).read(place, thread: thread)
  }

  /// Opens a state table to write it, and makes it where it is missing.
  func stateTable(at place: String, memory: MemoryBudget, thread: BlockingThreads) throws(WeirError) -> any StateTable {
    try stateTableAdapter(place).open(place, memory: memory, thread: thread)
  }

  /// See ``StateTableAdapter/replacement(of:)``.
  package func replacementOfStateTable(at place: String) async throws -> StateTableReplacement? {
    try await stateTableAdapter(place).replacement(of: place)
  }

  /// See ``StateTableAdapter/examine(_:thread:)``.
  package func examineStateTable(at place: String, thread: BlockingThreads) async throws(WeirError) -> [StoreFinding] {
    try await stateTableAdapter(place).examine(place, thread: thread)
  }

  private func stateTableAdapter(_ place: String) -> any StateTableAdapter {
    // Those that accept some places alone come before the one that accepts all.
    guard let adapter = stateTables.last(where: { $0.accepts(place) }) else { preconditionFailure("no adapter keeps state tables") }
    return adapter
  }

  /// The place of a state table that a command line names.
  /// - Throws: `config` where it cannot be one.
  package func stateTablePlace(_ text: String, option: String) throws(WeirError) -> String {
    do { return try stateTableAdapter(text).checked(text) } catch {
      throw WeirError(error.code, "\(option): \(error.message)", advice: error.advice)
    }
  }
}
