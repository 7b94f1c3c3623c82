import WeirCore

/// The kinds of a block's records, as the engine asks for them. Only of plans that have several.
extension DecodedBlock {
  /// Whether the record is of the kind with this number.
  @inline(__always)
  func isOf(_ kind: Int, _ row: Int) -> Bool { kinds.map { Int($0[row]) == kind } ?? false }

  /// Which records are of the kind.
  func rows(ofKind kind: Int) -> [Bool] { kinds?.map { Int($0) == kind } ?? [Bool](repeating: false, count: count) }

  /// `rows`, and none of other kinds.
  func narrow(_ rows: [Bool], to kind: Int) -> [Bool] { zip(rows, self.rows(ofKind: kind)).map { $0 && $1 } }

  /// The names of the kinds, as `_kind` has them; null where a record is of none.
  func kindNames(_ route: RouteSpec?) -> Column {
    let arena = Arena(chunkBytes: 1024)
    let names = (route?.kinds ?? []).map { arena.copy($0.name) }
    let kinds = kinds ?? []
    return Column(
      type: .string, values: .string(kinds.map { Int($0) < names.count ? names[Int($0)] : .empty }),
      validity: kinds.allSatisfy { Int($0) < names.count } ? nil : kinds.map { Int($0) < names.count }, owners: [arena])
  }
}
