import WeirCore
import WeirOperators

/// How many partitions of a gold table one entry gets of windows that close at once (law 7): further ones follow with the next entries.
///
/// Constants and no part of a worker's budget: so a replay makes the same entries everywhere.
package struct WindowParts: Sendable {
  /// From one lane.
  package var lane = 1024
  /// From the merge lane.
  package var merge = 2048

  package init() {}

  /// nil: the table's partitions depend on times only, of which those that close at once have few.
  func bound(_ layout: TableLayout, byTypes: [ColumnType], isLane: Bool) -> PartitionBound? {
    let count = byTypes.count
    let ofGroup = zip(layout.partitionBy, layout.partitionFrom).filter { $1 < count }
    // A measure may have another value in each row.
    let isByMeasure = layout.partitionFrom.contains { $0 >= count + 2 }
    guard !ofGroup.isEmpty || isByMeasure else { return nil }
    return PartitionBound(isLane ? lane : merge) { key in
      if isByMeasure { return hash(key) }
      var values = [Literal](repeating: .null, count: count)
      // The key is of this program's own making.
      guard (try? StateKey.decode(key, types: byTypes) { values[$0] = $1 }) != nil else { return hash(key) }
      var text: [UInt8] = []
      for (partition, from) in ofGroup {
        let value = PartitionValues.text(partition, PartitionValues.code(partition, values[from]))
        text += value.map { Array($0.utf8) + [1] } ?? [0]
        text.append(0)
      }
      return hash(text[...])
    }
  }
}

private func hash(_ bytes: ArraySlice<UInt8>) -> Hash128 { bytes.withUnsafeBytes { Hash128($0) } }
