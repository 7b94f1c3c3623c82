import WeirCore

/// `store: {lmdb: DIR}`, as a plan holds it. Apart from the table itself, so that plans link no client.
public struct LMDBSettings: StateTableSettings {
  public static let adapter = "lmdb"
  /// Plans are older than other state tables: theirs have the directory among the other settings.
  public static let member: String? = nil

  /// Directory; relative to the pipeline file.
  public var path: String

  public init(path: String = "./state") { self.path = path }
}
