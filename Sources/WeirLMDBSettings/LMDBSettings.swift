import WeirCore

/// `store: {lmdb: DIR}`, as a plan holds it. Apart from the table itself, so that plans link no client.
package struct LMDBSettings: StateTableSettings {
  package static let adapter = "lmdb"
  /// Plans are older than other state tables: theirs have the directory among the other settings.
  package static let member: String? = nil

  /// Directory; relative to the pipeline file.
  package var path: String

  package init(path: String = "./state") { self.path = path }
}
