import WeirCore
import WeirOperators
import WeirPlan
import Yams

/// What a pipeline file may name below `source`, `sinks`, `store`, `record.format` and `lake.format`, and what a check may ask of the
/// machine that it runs on.
package struct PlanSections: Sendable {
  package var sources: [any SourceSection]
  package var sinks: [any SinkSection]
  package var formats: [any FormatSection]
  /// The first is what a file has that names none.
  package var stateTables: [any StateTableSection]
  /// The first is what a file has that names none.
  package var tableFormats: [any TableFormatSection]
  /// The value of a secret where it is known; a check of its form is left out where it is not.
  package var secret: @Sendable (SecretSpec) -> String? = { _ in nil }

  /// Reads the files of lookups, wherever they are. Blocks.
  package var lookupFiles: LookupFiles = { file throws(InputFile.Refusal) in try InputFile.lookup(file) }

  package init(
    sources: [any SourceSection], sinks: [any SinkSection], formats: [any FormatSection] = RecordFormats.sections,
    stateTables: [any StateTableSection] = [LMDBSection(), RedisSection(), DynamoDBSection()],
    tableFormats: [any TableFormatSection] = [DeltaSection()],
    secret: @escaping @Sendable (SecretSpec) -> String? = { _ in nil }
  ) {
    self.sources = sources
    self.sinks = sinks
    self.formats = formats
    self.stateTables = stateTables
    self.tableFormats = tableFormats
    self.secret = secret
  }

  /// All sources, sinks and state tables, without the clients that could check more of their options.
  package static let standard = PlanSections(sources: [CaptureSection(), KafkaSection(), KinesisSection()], sinks: [KafkaSinkSection()])

  /// What a decoder of plans needs.
  package var types: AdapterTypes {
    AdapterTypes(
      sources: sources.map(\.settings), sinks: sinks.map(\.settings), formats: formats.map(\.format),
      stateTables: stateTables.map(\.settings), tableFormats: tableFormats.map(\.settings))
  }
}

/// Reads the settings of a kind of source.
package protocol SourceSection: Sendable {
  var settings: any SourceSettings.Type { get }
  /// What the value of its key may be.
  var shape: ValueShape { get }
  /// Reads `source: {NAME: …}`.
  /// - Returns: nil if it cannot be read; the loader's reader has the diagnostics.
  func read(_ node: Node, with loader: PipelineLoader) -> SourceSpec?
}

extension SourceSection {
  package var shape: ValueShape { .any }

  /// The key below `source`.
  package var name: String { settings.adapter }
}

/// Reads the settings of a kind of sink.
package protocol SinkSection: Sendable {
  var settings: any SinkSettings.Type { get }
  /// What the value of its key may be.
  var shape: ValueShape { get }
  /// Reads `sinks: {NAME: …}`; the builder checks it against the plan.
  func read(_ node: Node, with loader: PipelineLoader) -> PlanSinks?
}

extension SinkSection {
  package var shape: ValueShape { .any }

  /// The key below `sinks`.
  package var name: String { settings.adapter }
}

extension RecordFormats {
  /// How their settings are read.
  package static let sections: [any FormatSection] = standard.map { format in
    switch format.name {
    case JSONFormat.name: JSONSection()
    case CSVFormat.name: RowsSection(CSVFormat.self) { CSVFormat($0) }
    case TSVFormat.name: RowsSection(TSVFormat.self) { TSVFormat($0) }
    case TextFormat.name: TextSection()
    case ProtobufFormat.name: ProtobufSection()
    default: PlainFormat(format)
    }
  }
}

extension PlanMeaning {
  /// The parts that differ between plans of the standard sections.
  package static func changes(from old: JSONValue, to new: JSONValue, limit: Int = 8) -> [String] {
    changes(from: old, to: new, types: PlanSections.standard.types, limit: limit)
  }
}
