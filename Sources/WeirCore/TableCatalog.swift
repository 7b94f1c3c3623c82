/// A catalogue of tables, in which other programs find where a table is and which columns it has. It is no part of what is committed: tables
/// are right without it, and nothing waits for it.
public protocol TableCatalog: Sendable {
  /// For messages, without secrets.
  var place: String { get }
  /// What the table is called there.
  func name(of table: CatalogTable) -> String
  /// Makes what all tables are in, unless it is there.
  func prepare() async throws(WeirError)
  /// Registers a table, or brings its columns up to date. Several workers may do that at once.
  /// - Throws: `foreign_table` for one of another program, `storage_refused`, `unavailable`.
  func register(_ table: CatalogTable) async throws(WeirError) -> CatalogChange
}

/// What ``TableCatalog/register(_:)`` did.
public enum CatalogChange: Sendable, Equatable { case none, created, updated }

/// A table of the lake, as a catalogue needs to know it.
public struct CatalogTable: Sendable, Hashable {
  /// Under the lake's root: `gold/views`.
  public var path: String
  /// Partition columns last.
  public var columns: [ColumnSchema]
  /// An address that other programs understand.
  public var location: String

  public init(path: String, columns: [ColumnSchema], location: String) {
    (self.path, self.columns, self.location) = (path, columns, location)
  }
}

/// `catalog`, as a plan holds it: a setting, no part of the plan's meaning.
public struct CatalogSpec: Sendable, Hashable, Codable {
  /// The key below `catalog`.
  public var adapter: String
  /// By the adapter's own names.
  public var settings: [String: String]

  public init(adapter: String, settings: [String: String]) { (self.adapter, self.settings) = (adapter, settings) }
}
