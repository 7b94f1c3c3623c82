import WeirCore

/// Why an outer record has no records at the path of `framing: {each: PATH}`, and which path it has.
enum OuterRecordHint {
  /// - Parameters:
  ///   - record: the outer record.
  ///   - value: the same parsed; nil: it is too large.
  ///   - fields: of the records.
  static func of(
    _ reason: String, _ record: some Collection<UInt8>, _ value: JSONValue?, _ each: [PathStep], _ fields: [Field]
  ) -> String? {
    guard reason.hasPrefix("there is no array at ") || reason.contains(" is not an array but ") else { return nil }
    if record.first(where: { $0 > 0x20 }) == 0x5B, !each.isEmpty {
      return "the outer record is the array itself: write framing: {each: $} in record"
    }
    guard let value, let members = value.members else { return nil }
    if let other = respelled(each, value) {
      return "the outer record has \(other), and names are compared letter by letter: write framing: {each: '\(other)'} in record"
    }
    if isRecord(value, fields) { return "the outer record has the fields of a record: if it is one, leave framing out of record" }
    if let path = array(members) {
      return "the outer record has an array at \(path): if its elements are the records, write framing: {each: '\(path)'} in record"
    }
    let names = members.prefix(8).map(\.name).joined(separator: ", ") + (members.count > 8 ? ", …" : "")
    return members.isEmpty
      ? "the outer record is an empty object" : "the outer record has the fields \(Printable.text(names, bytesMax: 120))"
  }

  /// The path with the names as the record has them, if they differ in case only and an array is there.
  private static func respelled(_ each: [PathStep], _ value: JSONValue) -> String? {
    guard !each.isEmpty else { return nil }
    var (value, path) = (value, [PathStep]())
    for step in each {
      switch step {
      case .name(let name):
        guard let member = value.members?.first(where: { $0.name.lowercased() == name.lowercased() }) else { return nil }
        (value, path) = (member.value, path + [.name(member.name)])
      case .index(let index):
        guard let items = value.array, items.indices.contains(index) else { return nil }
        (value, path) = (items[index], path + [step])
      }
    }
    return value.array == nil ? nil : Printable.text(FieldPath.text(path), bytesMax: 120)
  }

  /// Whether all fields that a record must have are in it.
  private static func isRecord(_ value: JSONValue, _ fields: [Field]) -> Bool {
    let needed = fields.filter(\.required)
    return !needed.isEmpty
      && needed.allSatisfy { field in
        var place: JSONValue? = value
        for step in field.steps {
          switch step {
          case .name(let name): place = place?[name]
          case .index(let index): place = place?.array.flatMap { $0.indices.contains(index) ? $0[index] : nil }
          }
        }
        return place != nil
      }
  }

  /// Levels of members that are looked at, and members of each.
  private static let levelsMax = 8
  private static let membersMax = 1000

  /// The first array of objects in the record's members, or in theirs, the least deep one.
  private static func array(_ members: [JSONValue.Member]) -> String? {
    var level = members.map { (path: [PathStep.name($0.name)], value: $0.value) }
    for _ in 0..<levelsMax {
      if let found = level.first(where: { $0.value.array?.first?.members != nil }) {
        return Printable.text(FieldPath.text(found.path), bytesMax: 120)
      }
      level = level.flatMap { place in (place.value.members ?? []).prefix(membersMax).map { (place.path + [.name($0.name)], $0.value) } }
      if level.count > membersMax { level.removeLast(level.count - membersMax) }
    }
    return nil
  }
}
