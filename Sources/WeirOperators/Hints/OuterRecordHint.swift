import WeirCore

/// Why an outer record has no records at the path of `framing: {each: PATH}`, and which path it has.
enum OuterRecordHint {
  /// - Parameters:
  ///   - record: the outer record.
  ///   - value: the same parsed; nil: it is too large.
  static func of(_ reason: String, _ record: some Collection<UInt8>, _ value: JSONValue?, _ each: [PathStep]) -> String? {
    guard reason.hasPrefix("there is no array at ") || reason.contains(" is not an array but ") else { return nil }
    if record.first(where: { $0 > 0x20 }) == 0x5B, !each.isEmpty {
      return "the outer record is the array itself: write framing: {each: $} in record"
    }
    guard let value, let members = value.members else { return nil }
    if let other = respelled(each, value) {
      return "the outer record has \(other), and names are compared letter by letter: write framing: {each: '\(other)'} in record"
    }
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

  /// The first array of objects in the record's members, or in their members.
  private static func array(_ members: [JSONValue.Member]) -> String? {
    func isRecords(_ value: JSONValue) -> Bool { value.array?.first?.members != nil }
    var path = members.first { isRecords($0.value) }.map { [PathStep.name($0.name)] }
    for member in members where path == nil {
      path = member.value.members?.first { isRecords($0.value) }.map { [.name(member.name), .name($0.name)] }
    }
    return path.map { Printable.text(FieldPath.text($0), bytesMax: 120) }
  }
}
