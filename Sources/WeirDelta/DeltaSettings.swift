import WeirCore

/// `lake: {format: delta}`, as a plan holds it: Delta tables of protocol (1,2) have no settings of their own.
public struct DeltaSettings: TableFormatSettings {
  public static let adapter = "delta"

  public init() {}
}
