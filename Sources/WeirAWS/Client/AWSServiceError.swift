import WeirCore

/// What a service says in an answer that is an error, in any of its forms:
///
/// - S3, STS: XML with `<Code>`, `<Message>`, `<RequestId>`;
/// - DynamoDB, Kinesis, Glue, ...: JSON with `__type` (`com.amazonaws.dynamodb.v20120810#Name`) and `message`;
/// - REST with JSON: the header `x-amzn-ErrorType` (`Name:http://...`).
struct AWSServiceError: Equatable {
  /// Empty: the answer names none.
  var code = ""
  var message = ""
  var requestID: String?

  /// A longer body is not read for a code.
  private static let bodyBytesMax = 1 << 20
  private static let codeBytesMax = 128
  private static let messageBytesMax = 500

  init(_ answer: AWSResponse) {
    requestID = ["x-amz-request-id", "x-amzn-requestid", "x-amz-requestid"].lazy.compactMap(answer.header).first
    if let type = answer.header("x-amzn-errortype") { code = AWSServiceError.name(type) }
    guard answer.body.count <= AWSServiceError.bodyBytesMax else { return }
    switch answer.body.first(where: { $0 > 0x20 && $0 < 0x80 }) {
    case UInt8(ascii: "<"): readXML(answer.body)
    case UInt8(ascii: "{"): readJSON(answer.body)
    default: break
    }
    code = Printable.text(code, bytesMax: AWSServiceError.codeBytesMax)
    message = Printable.text(message, bytesMax: AWSServiceError.messageBytesMax)
    requestID = requestID.map { Printable.text($0, bytesMax: AWSServiceError.codeBytesMax) }
  }

  private mutating func readXML(_ body: [UInt8]) {
    let xml = XMLText(body)
    if code.isEmpty { code = xml.first("Code") ?? "" }
    message = xml.first("Message") ?? ""
    if requestID == nil { requestID = xml.first("RequestId") ?? xml.first("RequestID") }
  }

  private mutating func readJSON(_ body: [UInt8]) {
    guard let json = try? JSONValue(parsing: body) else { return }
    if code.isEmpty { code = AWSServiceError.name(json["__type"]?.string ?? json["code"]?.string ?? json["Code"]?.string ?? "") }
    message = json["message"]?.string ?? json["Message"]?.string ?? ""
  }

  /// `com.amazonaws.dynamodb.v20120810#Name`, `Name:http://...`.
  private static func name(_ text: String) -> String {
    String(text.split(separator: ":").first?.split(separator: "#").last ?? "")
  }
}

/// The text of elements in small XML documents of known shape: errors, keys of STS. No general reader: elements are found by name,
/// wherever they are.
struct XMLText {
  private let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The text of the first element with this name, which has no elements inside; nil: there is none.
  func first(_ name: String) -> String? {
    let opening = Array("<\(name)>".utf8)
    guard let start = index(of: opening, from: 0) else { return nil }
    let from = start + opening.count
    guard let end = index(of: Array("</\(name)>".utf8), from: from) else { return nil }
    return XMLText.decoded(bytes[from..<end])
  }

  /// The name of the outermost element.
  var root: String? {
    var at = 0
    while let open = bytes[at...].firstIndex(of: UInt8(ascii: "<")), open + 1 < bytes.count {
      let next = bytes[open + 1]
      if next != UInt8(ascii: "?") && next != UInt8(ascii: "!") {
        let name = bytes[(open + 1)...].prefix { $0 > 0x20 && $0 != UInt8(ascii: ">") && $0 != UInt8(ascii: "/") }
        return String(decoding: name, as: UTF8.self)
      }
      at = open + 1
    }
    return nil
  }

  private func index(of text: [UInt8], from start: Int) -> Int? {
    guard bytes.count - start >= text.count else { return nil }
    var at = start
    while let found = bytes[at...].firstIndex(of: text[0]), found + text.count <= bytes.count {
      if bytes[found..<(found + text.count)].elementsEqual(text) { return found }
      at = found + 1
    }
    return nil
  }

  private static func decoded(_ bytes: ArraySlice<UInt8>) -> String {
    let text = String(decoding: bytes, as: UTF8.self)
    guard text.utf8.contains(UInt8(ascii: "&")) else { return text }
    var out = ""
    var rest = text[...]
    while let ampersand = rest.firstIndex(of: "&") {
      out += rest[..<ampersand]
      rest = rest[ampersand...]
      guard let end = rest.prefix(12).firstIndex(of: ";"), let character = entity(rest[rest.index(after: ampersand)..<end]) else {
        out += "&"
        rest = rest.dropFirst()
        continue
      }
      out.unicodeScalars.append(character)
      rest = rest[rest.index(after: end)...]
    }
    return out + rest
  }

  private static func entity(_ name: Substring) -> Unicode.Scalar? {
    switch name {
    case "lt": "<"
    case "gt": ">"
    case "amp": "&"
    case "quot": "\""
    case "apos": "'"
    default:
      name.hasPrefix("#x")
        ? UInt32(name.dropFirst(2), radix: 16).flatMap(Unicode.Scalar.init)
        : name.hasPrefix("#") ? UInt32(name.dropFirst()).flatMap(Unicode.Scalar.init) : nil
    }
  }
}
