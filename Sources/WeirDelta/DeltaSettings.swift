import WeirCore

/// `lake: {format: delta}`, as a plan holds it: Delta tables of protocol (1,2) have no settings of their own.
package struct DeltaSettings: TableFormatSettings {
  package static let adapter = "delta"

  package init() {}
}
