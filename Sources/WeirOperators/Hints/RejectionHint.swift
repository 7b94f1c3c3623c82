import WeirCore

/// Why a JSON record was probably rejected and what to do, where one record is enough to see it. Asked for the first record of a kind
/// only, never on the hot path.
package enum RejectionHint {
  /// Fields of larger records are not looked at.
  private static let recordBytesMax = 1 << 16

  /// - Parameters:
  ///   - record: its value as received.
  ///   - spec: how records are declared.
  /// - Returns: a sentence without a full stop; nil: nothing is evident.
  package static func of(_ rejection: Rejection, _ record: some Collection<UInt8>, _ spec: RecordSpec) -> String? {
    let framing = (spec.recordFormat as? JSONFormat)?.framing
    guard rejection.stage == .decode else { return nil }
    if let hint = BoundHint.of(rejection, record) { return hint }
    let parsed = record.count <= recordBytesMax ? try? JSONValue(parsing: record) : nil
    if let each = spec.each, let hint = OuterRecordHint.of(rejection.reason, record, parsed, each, spec.fields) { return hint }
    if let parsed, let hint = WrappedHint.of(parsed, spec.each, framing) { return hint }
    guard let value = parsed.map(spec.unwrapped), value.members != nil else {
      return TextHint.ofEncoding(rejection, record.prefix(recordBytesMax)) ?? RecordShape.hint(record, framing)
    }
    let reason = rejection.reason
    let time = spec.time.map { spec.fields[$0.field].name }
    for field in spec.fields {
      if reason.hasPrefix("required field \(field.title) is missing") {
        let missing = MissingField(field, value, isTime: field.name == time)
        return (spec.each == nil ? missing.elements : nil) ?? (field.path == nil ? missing.hint : nil)
      }
      if reason.hasPrefix("field \(field.title): ") { return mismatch(field, value, reason, isTime: field.name == time) }
    }
    return nil
  }

  /// What a capture looks like whose first record is not an object of JSON; nil: nothing is evident.
  package static func ofCapture(_ first: ArraySlice<UInt8>) -> String? {
    if String(validating: first, as: UTF8.self) == nil { return RecordShape.binary(Array(first.prefix(recordBytesMax))) ?? TextHint.latin }
    if let value = try? JSONValue(parsing: first), let hint = WrappedHint.of(value, nil, nil) { return hint }
    return RecordShape.hint(first)
  }

  // MARK: Values of another form

  /// - Parameter isTime: it is the event time, which must be a timestamp before any expression is computed.
  private static func mismatch(_ field: Field, _ record: JSONValue, _ reason: String, isTime: Bool) -> String? {
    guard let value = value(of: field, in: record) else { return nil }
    if field.type.isNested { return WrappedHint.isTwice(value) ? WrappedHint.ofField(field) : nil }
    if reason.contains("needs a zone") {
      if isTime {
        return
          "the time has no zone: say which one it is in, \(field.name): {type: timestamp!, zone: Europe/Berlin}, or send it with one (2026-01-31T23:59:59Z)"
      }
      return
        "the time has no zone: say which one it is in, \(field.name): {type: timestamp, zone: Europe/Berlin}, or send it with one (2026-01-31T23:59:59Z)"
    }
    switch value {
    case .string(let text): return text.utf8.count <= 100 ? ofText(field, text) : nil
    case .int(let number): return ofNumber(field, number)
    case .number where field.type == .string: return "the value is a number: declare \(field.name) as double or decimal"
    case .number(let text): return ofFraction(field, text)
    case .object(let members):
      let names = members.prefix(6).map(\.name).joined(separator: ", ")
      return
        "the field is nested: it is an object with \(Printable.text(names, bytesMax: 120)); declare what is in it with a path, or the whole as struct<…> or map<string,…>"
    case .array:
      return
        "the value is an array: declare \(field.name) as list<…>, or read one of its elements by path: \(FieldPath.text(field.steps + [.index(0)]))"
    case .bool where field.type == .string: return "the value is true or false: declare \(field.name) as bool"
    default: return nil
    }
  }

  private static func value(of field: Field, in record: JSONValue) -> JSONValue? {
    var place = record
    for step in field.steps {
      switch step {
      case .name(let name):
        guard let next = place[name] else { return nil }
        place = next
      case .index(let index):
        guard let items = place.array, index < items.count else { return nil }
        place = items[index]
      }
    }
    return place
  }

  private static func ofText(_ field: Field, _ text: String) -> String? {
    let words = text.split(separator: " ").joined(separator: " ")
    // It is read from text already.
    if field.isCoerced {
      return field.type.isNumeric && isDecimalComma(words)
        ? "the number has a decimal comma: declare \(field.name) as string, or send it as 1234.5" : nil
    }
    let isNumber = Double(words) != nil && !words.isEmpty && words.utf8.allSatisfy { $0 != 0x78 && $0 != 0x58 && $0 | 0x20 != 0x69 }
    switch field.type {
    case .int64, .double, .decimal:
      if isNumber {
        return
          "the number is written as text: write coerce: true in record, or \(field.name): {type: \"\(field.type.name)\", coerce: true}; or send it without quotes"
      }
      return isDecimalComma(words)
        ? "the number is written as text with a decimal comma: declare \(field.name) as string, or send it as 1234.5" : nil
    case .bool:
      guard ["true", "false"].contains(words.lowercased()) else { return nil }
      return
        "the value is written as text: write coerce: true in record, or \(field.name): {type: bool, coerce: true}; or send it without quotes"
    case .timestamp where field.encoding != .natural:
      return isNumber
        ? outOfYears
        : "the time is text: declare \(field.name) as timestamp, if it is ISO 8601 with a zone; else with zone and formats"
    case .timestamp:
      return isNumber
        ? "the time is a number written as text: declare \(field.name) as \(unit(Int64(words)))" : nil
    default: return nil
    }
  }

  private static func isDecimalComma(_ text: String) -> Bool {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    return parts.count == 2 && parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { $0 &- 0x30 < 10 || $0 == 0x2D || $0 == 0x2E } }
  }

  private static func ofNumber(_ field: Field, _ number: Int64) -> String? {
    switch field.type {
    case .string: "the value is a number: declare \(field.name) as int64"
    case .timestamp where field.encoding != .natural && sizedUnit(number) == nil: outOfYears
    case .timestamp: "the time is a number: by its size, \(field.name) is \(unit(number))"
    case .bool: "the value is a number: declare \(field.name) as int64"
    default: nil
    }
  }

  private static func ofFraction(_ field: Field, _ text: String) -> String? {
    switch field.type {
    case .int64: "the number has a fraction or is large: declare \(field.name) as double or decimal"
    case .decimal: "the number has more digits than \(field.type.name): declare more, or double"
    case .timestamp:
      field.encoding == .natural
        ? "the time is a number: declare \(field.name) as \(unit(text.split(separator: ".").first.flatMap { Int64($0) }))"
        : outOfYears
    default: nil
    }
  }

  private static let outOfYears = "in this unit, the number is not a time in the years 1 to 9999"

  private static func unit(_ number: Int64?) -> String { sizedUnit(number) ?? "timestamp_s, timestamp_ms or timestamp_us" }

  /// The type of a time that is a number, by its size: times of the years 2001 to 2286. nil: it may be any.
  private static func sizedUnit(_ number: Int64?) -> String? {
    switch number?.magnitude ?? 0 {
    case 1_000_000_000..<10_000_000_000: "timestamp_s"
    case 1_000_000_000_000..<10_000_000_000_000: "timestamp_ms"
    case 1_000_000_000_000_000..<10_000_000_000_000_000: "timestamp_us"
    case 1_000_000_000_000_000_000...: "timestamp_ns, a time in nanoseconds"
    default: nil
    }
  }
}

/// Where a missing field is instead.
private struct MissingField {
  /// Members that are looked at.
  private static let membersMax = 2000
  private static let depthMax = 8

  let field: Field
  let record: JSONValue
  /// It is the event time, which is always required.
  let isTime: Bool

  init(_ field: Field, _ record: JSONValue, isTime: Bool) { (self.field, self.record, self.isTime) = (field, record, isTime) }

  /// The record holds the records, in an array.
  var elements: String? {
    guard let array = record.members?.first(where: { $0.value.array?.first?.value(at: field.steps) != nil }) else { return nil }
    let path = Printable.text(FieldPath.text([.name(array.name)]), bytesMax: 120)
    return "each element of \(path) has it: if these are the records, write framing: {each: '\(path)'} in record"
  }

  var hint: String? {
    let name = field.name
    if record.value(at: field.steps)?.isNull == true {
      if isTime {
        return
          "the event time is null in the record, and each record needs one: name another field as the time, or leave such records in quarantine"
      }
      return "the field is null in the record: a required field (\(field.type.name)!) may not be; leave the ! out"
    }
    let members = record.members ?? []
    if let other = members.first(where: { plain($0.name) == plain(name) }) {
      return "the record has \(show(other.name)), and names are compared letter by letter: \(declared([.name(other.name)]))"
    }
    if let path = nested {
      let shown = FieldPath.text(path.map { .name($0) })
      return "the field is nested, at \(show(shown)): declare it as \(name): {type: \(field.type.name)!, path: '\(show(shown))'}"
    }
    if let near = nearestName(name, in: members.prefix(200).map(\.name)) { return "the record has no \(name), but \(show(near))" }
    let names = members.prefix(8).map(\.name).joined(separator: ", ") + (members.count > 8 ? ", …" : "")
    return members.isEmpty ? "the record is an empty object" : "the record has the fields \(show(names))"
  }

  /// How the pipeline file says that it is there.
  private func declared(_ path: [PathStep]) -> String {
    let unit =
      switch field.encoding {
      case .natural, .json, .rescued: ""
      case .seconds: "_s"
      case .milliseconds: "_ms"
      case .microseconds: "_us"
      case .nanoseconds: "_ns"
      }
    let text = Printable.text(FieldPath.text(path), bytesMax: 200)
    let type = field.encoding == .json ? "json" : field.type.name
    return "\(field.name): {type: \"\(type)\(unit)\(field.required ? "!" : "")\", path: '\(text)'}"
  }

  private func show(_ name: String) -> String { Printable.text(name, bytesMax: 120) }

  /// Without case and what joins words.
  private func plain(_ name: String) -> String { name.lowercased().filter { !"_-. $@".contains($0) } }

  /// The path of a member within members that has the name, or whose whole path reads like it (`user.id` for `user_id`). The one least
  /// deep; where it has the whole path, that.
  private var nested: [String]? {
    var level: [(path: [String], value: JSONValue)] = (record.members ?? []).map { ([$0.name], $0.value) }
    var byName: [String]?
    var seen = 0
    for _ in 0..<MissingField.depthMax {
      var next: [(path: [String], value: JSONValue)] = []
      for (path, value) in level {
        for member in value.members ?? [] {
          seen += 1
          guard seen <= MissingField.membersMax else { return byName }
          let own = path + [member.name]
          if plain(own.joined()) == plain(field.name) { return own }
          if byName == nil, plain(member.name) == plain(field.name) { byName = own }
          next.append((own, member.value))
        }
      }
      level = next
    }
    return byName
  }
}

extension JSONValue {
  /// nil: there is nothing.
  fileprivate func value(at path: [PathStep]) -> JSONValue? {
    var value = self
    for step in path {
      let next: JSONValue? =
        switch step {
        case .name(let name): value[name]
        case .index(let index): value.array.flatMap { $0.indices.contains(index) ? $0[index] : nil }
        }
      guard let next else { return nil }
      value = next
    }
    return value
  }
}
