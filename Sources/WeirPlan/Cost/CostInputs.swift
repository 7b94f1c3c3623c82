import WeirCore

/// What a bill depends on and no pipeline file contains. Each value is an option of the command line, or its default.
package struct CostInputs: Sendable, Hashable {
  /// The options, by their names.
  package enum Name: String, Sendable, CaseIterable {
    /// Of all partitions together, on average.
    case recordsPerSecond = "records-per-second"
    /// Of a value as the source has it.
    case recordBytes = "record-bytes"
    /// Of the source: a worker has a lane for each.
    case partitions
    /// Distinct keys of each state table.
    case keys
    /// Of a key of a state table.
    case keyBytes = "key-bytes"
    /// Data files of a table in one commit: values of the columns that it is partitioned by.
    case files
    case workers
  }

  /// Used where an option is not given.
  package static let defaults: [Name: Double] = [
    .recordsPerSecond: 1000, .recordBytes: 500, .partitions: 12, .keys: 10_000, .keyBytes: 24, .files: 1, .workers: 1,
  ]
  /// What an option may be.
  package static let bounds: [Name: ClosedRange<Double>] = [
    .recordsPerSecond: 0.001...1e9, .recordBytes: 1...1e8, .partitions: 1...100_000, .keys: 1...1e12, .keyBytes: 1...1023,
    .files: 1...100_000, .workers: 1...10_000,
  ]

  /// As the command line has them.
  private var given: [Name: Double] = [:]

  package init() {}

  /// - Throws: `config`: a value is out of its bounds.
  package init(_ values: [Name: Double]) throws(WeirError) {
    for name in Name.allCases {
      guard let value = values[name] else { continue }
      let bounds = CostInputs.bounds[name] ?? 0...0
      guard bounds.contains(value), name == .recordsPerSecond || value == value.rounded() else {
        throw WeirError(
          .config, "--\(name.rawValue) is \(value.magnitude < bounds.lowerBound ? "\(value)" : CostText.number(value))",
          advice: "It may be from \(CostText.number(bounds.lowerBound)) to \(CostText.number(bounds.upperBound)).")
      }
      given[name] = value
    }
  }

  package subscript(_ name: Name) -> Double { given[name] ?? CostInputs.defaults[name] ?? 0 }
  package func isGiven(_ name: Name) -> Bool { given[name] != nil }
}
