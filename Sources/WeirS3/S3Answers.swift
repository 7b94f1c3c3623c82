import WeirCore

/// A page of a listing.
struct S3ListPage: Sendable, Hashable {
  struct Object: Sendable, Hashable {
    var key: String
    var bytes: Int64
    /// UTC, since 1970.
    var modifiedMicroseconds: Int64
    /// With its quotes; nil: none was listed.
    var etag: String?
  }

  var objects: [Object] = []
  /// For the next page; nil: this was the last.
  var next: String?

  /// nil: the bytes are no such answer.
  init?(_ bytes: [UInt8]) {
    guard let root = XMLElement(parsing: bytes), root.name == "ListBucketResult" else { return nil }
    let isEncoded = root["EncodingType"] == "url"
    for item in root.all("Contents") {
      let text = item["Key"]
      guard let key = isEncoded ? text.flatMap({ S3Text.decoded($0) }) : text, let size = item["Size"].flatMap({ Int64($0) }), size >= 0
      else { return nil }
      objects.append(
        Object(
          key: key, bytes: size, modifiedMicroseconds: item["LastModified"].flatMap { S3Text.microseconds($0) } ?? 0,
          etag: item["ETag"].flatMap { $0.isEmpty ? nil : $0 }))
    }
    guard root["IsTruncated"] == "true" else { return }
    guard let token = root["NextContinuationToken"], !token.isEmpty else { return nil }
    next = token
  }
}

/// A page of the uploads that were begun and not ended.
struct S3UploadsPage: Sendable, Hashable {
  struct Upload: Sendable, Hashable {
    var key: String
    var id: String
    /// UTC, since 1970.
    var begunMicroseconds: Int64
  }

  var uploads: [Upload] = []
  var nextKey: String?
  var nextID: String?

  /// nil: the bytes are no such answer.
  init?(_ bytes: [UInt8]) {
    guard let root = XMLElement(parsing: bytes), root.name == "ListMultipartUploadsResult" else { return nil }
    let isEncoded = root["EncodingType"] == "url"
    func decoded(_ text: String) -> String? { isEncoded ? S3Text.decoded(text) : text }
    for item in root.all("Upload") {
      guard let key = item["Key"].flatMap(decoded), let id = item["UploadId"], !id.isEmpty else { return nil }
      // One whose age is not known is left alone.
      guard let begun = item["Initiated"].flatMap({ S3Text.microseconds($0) }) else { continue }
      uploads.append(Upload(key: key, id: id, begunMicroseconds: begun))
    }
    guard root["IsTruncated"] == "true" else { return }
    guard let key = root["NextKeyMarker"].flatMap(decoded), let id = root["NextUploadIdMarker"] else { return nil }
    (nextKey, nextID) = (key, id)
  }
}

/// The body of an error.
struct S3ErrorBody: Sendable, Hashable {
  var code: String
  var message: String
  /// Of the bucket, where the request went to another one.
  var region: String?

  /// nil: the bytes are no error.
  init?(_ bytes: [UInt8]) {
    guard let root = XMLElement(parsing: bytes), root.name == "Error", let code = root["Code"] else { return nil }
    self.code = code
    message = root["Message"] ?? ""
    region = root["Region"]
  }
}

/// Texts in S3's answers.
enum S3Text {
  /// Without percent-encoding as forms have it: `+` is a space. nil: it is broken.
  static func decoded(_ text: String) -> String? {
    var out: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "+"): out.append(0x20)
      case UInt8(ascii: "%"):
        guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else { return nil }
        out.append(high << 4 | low)
      default: out.append(byte)
      }
    }
    return String(validating: out, as: UTF8.self)
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
  }

  /// Of `2026-01-31T23:59:59.000Z`, since 1970, UTC; nil: it is no such time.
  static func microseconds(_ text: String) -> Int64? {
    let bytes = Array(text.utf8)
    func number(_ range: Range<Int>) -> Int64? {
      guard range.upperBound <= bytes.count, bytes[range].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
      return bytes[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }
    guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z"), let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
      let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19), year >= 1970, (1...12).contains(month),
      (1...31).contains(day), hour < 24, minute < 60, second < 61
    else { return nil }
    let fraction = bytes.count == 20 ? 0 : number(20..<min(23, bytes.count - 1)).map { $0 * 1000 } ?? 0
    let seconds = dayNumber(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    return seconds * 1_000_000 + (bytes.count >= 24 ? fraction : 0)
  }

  /// Days since 1970-01-01 of a date from then on (Howard Hinnant, "chrono-compatible low-level date algorithms").
  private static func dayNumber(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let y = month <= 2 ? year - 1 : year
    let era = y / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  /// A text that comes closely before another one in the order of bytes, so that a listing after it begins with that one; nil: none is
  /// simple.
  static func before(_ text: String) -> String? {
    var scalars = text.unicodeScalars
    guard let last = scalars.popLast() else { return nil }
    // XML and address lines have no control characters.
    if last.value > 0x21, let previous = Unicode.Scalar(last.value - 1), previous.value != 0x7F { scalars.append(previous) }
    return scalars.isEmpty ? nil : String(scalars)
  }
}
