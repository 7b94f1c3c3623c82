/// A silver table with a name of its own: rows of accepted records, of all of them or of some, one a record or one an element of a list.
public struct SilverTable: Sendable, Hashable, Codable {
  /// Its path is `silver/NAME`.
  public var name: String
  /// The kind of records that it has rows of, by its number; nil: all.
  public var kind: Int?
  /// nil: a record has one row.
  public var explode: ExplodeSpec?
  /// Rows where it is true (not null, not false); nil: all.
  public var filter: Expr?
  /// Their inputs, and those of the filter, are ``inputs(of:)``.
  public var columns: [OutputColumn]
  public var partitionBy: [PartitionColumn]

  public init(
    name: String, explode: ExplodeSpec? = nil, filter: Expr? = nil, columns: [OutputColumn], partitionBy: [PartitionColumn] = []
  ) {
    (self.name, self.explode, self.filter) = (name, explode, filter)
    (self.columns, self.partitionBy) = (columns, partitionBy)
  }

  /// What its expressions may refer to: all that the plan's may, then the element and its number.
  public func inputs(of plan: Plan) -> [InputColumn] { plan.inputs + (explode?.inputs ?? []) }
}

/// A row for each element of a list.
public struct ExplodeSpec: Sendable, Hashable, Codable {
  /// Over `Plan.inputs`. A record where it is null or empty has no rows.
  public var list: Expr
  /// What expressions call the element.
  public var name: String

  public init(list: Expr, name: String) { (self.list, self.name) = (list, name) }

  /// What expressions call the number of the element, from 0.
  public static let index = "_index"

  /// The element, then its number.
  public var inputs: [InputColumn] {
    guard case .list(let element) = list.type else { preconditionFailure("only lists have elements, not \(list.type.name)") }
    return [
      InputColumn(name: name, type: element, nullable: true, origin: .exploded),
      InputColumn(name: ExplodeSpec.index, type: .int64, nullable: false, origin: .exploded),
    ]
  }
}

extension Plan {
  /// The expressions of all silver tables. Some may have inputs of their own, after the plan's.
  public var silverExpressions: [Expr] {
    var all = silver?.columns.map(\.expr) ?? []
    for table in silverTables ?? [] { all += [table.explode?.list, table.filter].compactMap(\.self) + table.columns.map(\.expr) }
    return all
  }

  /// Rows of accepted records are written as they are.
  public var hasSilver: Bool { silver != nil || silverTables != nil }
}
