/// Several kinds of records in one stream: a field says of each record which kind it is, and each kind has fields of its own.
public struct RouteSpec: Sendable, Hashable, Codable {
  /// What becomes of a record that is of none of the kinds.
  public enum Otherwise: String, Sendable, Hashable, Codable, CaseIterable { case quarantine, drop }

  /// Index of the field that says it, in ``RecordSpec/fields``.
  public var by: Int
  /// How many of ``RecordSpec/fields`` all kinds have: the first. Those after them are of some kinds.
  public var common: Int
  public var kinds: [RecordKind]
  public var otherwise: Otherwise

  public init(by: Int, common: Int, kinds: [RecordKind] = [], otherwise: Otherwise = .quarantine) {
    (self.by, self.common, self.kinds, self.otherwise) = (by, common, kinds, otherwise)
  }

  /// `route_kinds`: kinds of a pipeline. Fewer than ``unknown`` and ``dropped``.
  public static let kindsMax = 64
  /// `route_values`: values of the field, of all kinds together.
  public static let valuesMax = 256

  /// In ``DecodedBlock/kinds``: the record is of no kind, and is rejected.
  public static let unknown: UInt8 = 255
  /// In ``DecodedBlock/kinds``: the record is of no kind, and is left out. It is valid where its event time is.
  public static let dropped: UInt8 = 254

  /// What counts call the records of no kind. No kind has such a name.
  public static let noKind = "_other"
}

/// One kind of the records of a stream.
public struct RecordKind: Sendable, Hashable, Codable {
  /// What tables and counts call it.
  public var name: String
  /// What the field says of it, as text.
  public var values: [String]
  /// Its own fields, besides those that all kinds have.
  public var fields: [KindField]

  public init(name: String, values: [String], fields: [KindField] = []) { (self.name, self.values, self.fields) = (name, values, fields) }
}

/// A field of one kind of records. Another kind may have the same column, at another place.
public struct KindField: Sendable, Hashable, Codable {
  /// In ``RecordSpec/fields``: its column.
  public var index: Int
  /// How records of the kind have it.
  public var field: Field

  public init(index: Int, field: Field) { (self.index, self.field) = (index, field) }
}

extension RecordSpec {
  /// The fields that records of a kind have, by their places in ``fields``, ascending.
  /// - Parameter kind: nil: all, of all kinds.
  public func fieldNumbers(ofKind kind: Int?) -> [Int] {
    guard let route, let kind else { return Array(fields.indices) }
    return Array(0..<route.common) + route.kinds[kind].fields.map(\.index).sorted()
  }

  /// Those fields, as records of the kind have them, with their places.
  public func kindFields(_ kind: Int) -> [KindField] {
    guard let route else { return [] }
    return fields.prefix(route.common).enumerated().map { KindField(index: $0, field: $1) }
      + route.kinds[kind].fields.sorted { $0.index < $1.index }
  }
}
