import WeirCore
import WeirDelta
import WeirPlan
import Yams

/// Reads the settings of a format of tables.
package protocol TableFormatSection: Sendable {
  var settings: any TableFormatSettings.Type { get }
  /// What its settings may be; nil: it has none.
  var shape: ValueShape? { get }
  /// Reads the settings of `lake: {format: {NAME: …}}`.
  /// - Parameter node: nil: the name alone, `lake: {format: NAME}`.
  /// - Returns: nil if they cannot be read; the loader's reader has the diagnostics.
  func read(_ node: Node?, with loader: PipelineLoader) -> (any TableFormatSettings)?
}

extension TableFormatSection {
  package var shape: ValueShape? { .any }

  /// The word of `lake.format`.
  package var name: String { settings.adapter }
}

/// Delta tables, which have no settings.
package struct DeltaSection: TableFormatSection {
  package init() {}

  package var settings: any TableFormatSettings.Type { DeltaSettings.self }
  package var shape: ValueShape? { nil }

  package func read(_ node: Node?, with loader: PipelineLoader) -> (any TableFormatSettings)? {
    if let node { loader.reader.report("lake.format.delta has no settings: write format: delta", "bad_value", at: node) }
    return DeltaSettings()
  }
}

/// `lake: {format: NAME}` or `lake: {format: {NAME: settings}}`.
extension PipelineLoader {
  /// - Returns: nil: none that there is, which was reported.
  func tableFormat(_ node: Node) -> TableFormatSpec? {
    guard node.mapping != nil else { return tableSection(node)?.read(nil, with: self).map { TableFormatSpec($0) } }
    let members = reader.named(node, "lake.format")
    guard let (_, key, settings) = members.first, members.count == 1 else {
      reader.report("lake.format must name exactly one format", "bad_value", at: node)
      return nil
    }
    return tableSection(key)?.read(settings, with: self).map { TableFormatSpec($0) }
  }

  private func tableSection(_ node: Node) -> (any TableFormatSection)? {
    let names = sections.tableFormats.map(\.name)
    guard let name = reader.choice(node, "lake.format", names, later: ["iceberg"].filter { !names.contains($0) }) else { return nil }
    return sections.tableFormats.first { $0.name == name }
  }
}
