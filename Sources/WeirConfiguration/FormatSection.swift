import WeirCore
import Yams

/// Reads the settings of a format.
package protocol FormatSection: Sendable {
  var format: any RecordFormat.Type { get }
  /// What its settings may be; nil: it has none.
  var shape: ValueShape? { get }
  /// The name alone says too little.
  var needsSettings: Bool { get }
  /// Reads the settings of `record: {format: {NAME: …}}`.
  /// - Returns: nil if they cannot be read; the loader's reader has the diagnostics.
  func read(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)?
  /// Reads `record: {format: NAME}`.
  func plain(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)?
}

extension FormatSection {
  package var shape: ValueShape? { .any }
  package var needsSettings: Bool { false }

  /// `record: {format: NAME}`.
  package func plain(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)? { format.init() }

  /// The word of `record.format`.
  package var name: String { format.name }
}

/// A format without settings.
package struct PlainFormat: FormatSection {
  package let format: any RecordFormat.Type
  package var shape: ValueShape? { nil }

  package init(_ format: any RecordFormat.Type) { self.format = format }

  package func read(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)? {
    loader.reader.report("record.format.\(name) has no settings: write format: \(name)", "bad_value", at: node)
    return nil
  }
}

/// `record: {format: NAME}` or `record: {format: {NAME: settings}}`.
extension PipelineLoader {
  /// - Returns: nil: none that there is, which was reported.
  func format(_ node: Node) -> (any RecordFormat)? {
    guard node.mapping != nil else { return section(node).flatMap { $0.plain(node, with: self) } }
    let members = reader.named(node, "record.format")
    guard let (_, key, settings) = members.first, members.count == 1 else {
      reader.report("record.format must name exactly one format", "bad_value", at: node)
      return nil
    }
    return section(key).flatMap { $0.read(settings, with: self) }
  }

  private func section(_ node: Node) -> (any FormatSection)? {
    let names = sections.formats.map(\.name)
    guard let name = reader.choice(node, "record.format", names) else { return nil }
    return sections.formats.first { $0.name == name }
  }
}
