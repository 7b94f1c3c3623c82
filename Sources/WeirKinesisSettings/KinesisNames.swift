import WeirCore

/// Texts that name streams, applications and addresses.
package enum KinesisNames {
  /// Whether Kinesis takes a name for a stream (API reference, "CreateStream"): 1 to 128 of `a-zA-Z0-9_.-`.
  package static func isStream(_ text: String) -> Bool { (1...128).contains(text.utf8.count) && text.utf8.allSatisfy(isNameByte) }

  /// Whether DynamoDB takes a name for the table of leases: 3 to 255 of the same.
  package static func isApp(_ text: String) -> Bool { (3...255).contains(text.utf8.count) && text.utf8.allSatisfy(isNameByte) }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default: byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }
  }

  /// The parts of `arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME`; nil: it is none.
  package static func parts(ofARN text: String) -> (region: String, stream: String)? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 6, parts[0] == "arn", parts[1].hasPrefix("aws"), parts[2] == "kinesis", isRegion(String(parts[3])),
      parts[4].utf8.count == 12, parts[4].utf8.allSatisfy({ (0x30...0x39).contains($0) }), parts[5].hasPrefix("stream/")
    else { return nil }
    let stream = String(parts[5].dropFirst("stream/".count))
    return isStream(stream) ? (String(parts[3]), stream) : nil
  }

  /// The name of the stream in `arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME/consumer/CONSUMER:TIME`; nil: it is none.
  package static func stream(ofConsumerARN text: String) -> String? {
    guard let place = text.firstRange(of: "/consumer/") else { return nil }
    let rest = text[place.upperBound...].split(separator: ":", omittingEmptySubsequences: false)
    guard rest.count == 2, isStream(String(rest[0])), !rest[1].isEmpty, rest[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    return parts(ofARN: String(text[..<place.lowerBound]))?.stream
  }

  /// Such as `eu-central-1`.
  package static func isRegion(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 63
      && text.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") }
  }

  /// `http://` or `https://`, without user and parameters.
  package static func isEndpoint(_ text: String) -> Bool {
    HostAddress.isWebAddress(text)
  }
}
