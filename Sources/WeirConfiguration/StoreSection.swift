import WeirCore
import WeirLMDBSettings
import WeirPlan
import Yams

/// Reads the settings of a kind of state table.
package protocol StateTableSection: Sendable {
  var settings: any StateTableSettings.Type { get }
  /// Reads `store: {NAME: …}`.
  /// - Parameter node: nil: the file names no state table, and this is the first kind that there is.
  /// - Returns: nil if it cannot be read; the loader's reader has the diagnostics.
  func read(_ node: Node?, with loader: PipelineLoader) -> (any StateTableSettings)?
  /// What the value of its key may be.
  var shape: ValueShape { get }
  /// What a check warns of; nil: nothing.
  func warning(flushMicroseconds: Int64) -> String?
}

extension StateTableSection {
  package var shape: ValueShape { .any }

  package func warning(flushMicroseconds: Int64) -> String? { nil }

  /// The key below `store`.
  package var name: String { settings.adapter }
}

/// `store: {lmdb: DIR}`.
package struct LMDBSection: StateTableSection {
  package init() {}

  package var settings: any StateTableSettings.Type { LMDBSettings.self }
  package var shape: ValueShape { .text }

  package func read(_ node: Node?, with loader: PipelineLoader) -> (any StateTableSettings)? {
    loader.reader.path(node, "store.lmdb").map { LMDBSettings(path: $0) } ?? LMDBSettings()
  }
}

extension PipelineLoader {
  /// `store: {NAME: …, flush: 100ms, share: 10%}`; without a name it is the first kind of state table.
  func store(_ node: Node?) -> StoreSpec {
    var spec = StoreSpec()
    let members = node.map { reader.mapping($0, "store", .store(sections)) } ?? [:]
    let given = sections.stateTables.filter { members[$0.name] != nil }
    if given.count > 1 { reader.report("store: either \(given.map(\.name).joined(separator: " or "))", "bad_value", at: node) }
    if let section = given.last ?? sections.stateTables.first, let settings = section.read(members[section.name], with: self) {
      spec.settings = settings
    }
    if let node = members["flush"], let flush = reader.duration(node, "store.flush") {
      if flush < 1000 { reader.report("store.flush: the shortest is 1ms", "bad_duration", at: node) }
      spec.flushMicroseconds = max(1000, flush)
    }
    if let section = given.last, let warning = section.warning(flushMicroseconds: spec.flushMicroseconds) {
      reader.report(warning, "costly_flush", at: members["flush"] ?? node, severity: .warning)
    }
    if let share = members["share"].flatMap({ reader.percent($0, "store.share") }) { spec.share = share }
    return spec
  }
}
