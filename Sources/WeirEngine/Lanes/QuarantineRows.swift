import WeirCore
import WeirOperators

/// Collects quarantine rows: value, key, headers, stage, reason, provenance.
struct QuarantineRows {
  private var builders = [ColumnType.binary, .binary, .string, .string, .string].map { ColumnBuilder($0) }
  private var provenance: Provenance

  init(_ run: RunInfo) { provenance = Provenance(run) }

  mutating func add(_ block: PreparedBlock, _ row: Int, stage: String, reason: String) {
    appendValue(block, row, to: &builders[0])
    appendKey(block, row, to: &builders[1])
    appendHeaders(block, row, to: &builders[2])
    builders[3].append(.string(stage))
    builders[4].append(.string(reason))
    provenance.add(block, row)
  }

  func finish() -> [Column] { builders.map { $0.finish() } + provenance.finish() }
}
