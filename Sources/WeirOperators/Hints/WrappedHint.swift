import WeirCore

/// A record that is in something: a text that holds JSON, or an array where an object is needed.
enum WrappedHint {
  /// - Parameters:
  ///   - each: the path of the list of records; nil: the outer record is the record.
  ///   - framing: how records follow each other in a capture; nil: as lines.
  static func of(_ value: JSONValue, _ each: [PathStep]?, _ framing: JSONFormat.Framing?) -> String? {
    if isTwice(value) {
      return
        "the record is JSON in a text of JSON: the producer encodes it twice; send the object itself, or convert a file with `jq -c fromjson`"
    }
    guard let items = value.array else { return nil }
    // A list of lists: one of them is taken apart already.
    switch (each, framing) {
    case (nil, .array): return "the element is an array itself: write framing: {each: $} in record, and its elements are the records"
    case (let path?, _) where items.first?.members != nil:
      let place = path.isEmpty ? "the array" : Printable.text(FieldPath.text(path), bytesMax: 120)
      let own = "the elements of \(place) are arrays, and framing takes one apart: "
      return path.isEmpty && framing == nil
        ? own + "a capture can have format: {json: {framing: array}} besides, which takes the outer one"
        : own + "send their elements in one array"
    case (.some, _): return "an element is an array, and a record is an object: send objects"
    default: return nil
    }
  }

  /// Whether it is a text that holds an object or array of JSON.
  static func isTwice(_ value: JSONValue) -> Bool {
    guard case .string(let text) = value, let first = text.utf8.first(where: { $0 > 0x20 }), first == 0x7B || first == 0x5B else {
      return false
    }
    return (try? JSONValue(parsing: text.utf8)) != nil
  }

  /// Of a list, struct or map whose value is a text.
  static func ofField(_ field: Field) -> String {
    "the value is JSON in a text: declare \(field.name) as string, and read its parts with json_value(\(field.name), '$.a.b'); or send it without quotes"
  }
}
