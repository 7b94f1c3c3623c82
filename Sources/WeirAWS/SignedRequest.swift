import WeirCore

/// A request to AWS, before and after it is signed.
package struct SignedRequest: Sendable, Hashable {
  /// One header, one parameter of a query.
  package struct Pair: Sendable, Hashable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  package var method: String
  /// Begins with `/`; as the request line will have it.
  package var path: String
  /// Not encoded, in the order of the request line. Signing a query adds to it.
  package var query: [Pair]
  /// Must contain `Host`. Signing headers adds to them.
  package var headers: [Pair]
  package var body: [UInt8]

  package init(method: String, path: String, query: [Pair] = [], headers: [Pair], body: [UInt8] = []) {
    self.method = method
    self.path = path
    self.query = query
    self.headers = headers
    self.body = body
  }

  /// Path and query, as the request line has them.
  package var target: String {
    query.isEmpty ? path : path + "?" + query.map { URIText.encode($0.name) + "=" + URIText.encode($0.value) }.joined(separator: "&")
  }
}

/// Percent-encoding as Signature Version 4 asks for it: every byte but `A-Z a-z 0-9 - . _ ~`.
enum URIText {
  /// - Parameter keepsSlashes: for paths.
  static func encode(_ text: String, keepsSlashes: Bool = false) -> String {
    var out: [UInt8] = []
    out.reserveCapacity(text.utf8.count)
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
        out.append(byte)
      case UInt8(ascii: "/") where keepsSlashes: out.append(byte)
      default: percentEncode(byte, into: &out)
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// Without `.` and `..` segments and without empty ones, as the suite of test cases of AWS and botocore have it. Unlike RFC 3986, section
  /// 5.2.4, a `.` or `..` at the end leaves no `/`.
  static func normalized(_ path: String) -> String {
    var kept: [Substring] = []
    let segments = path.split(separator: "/", omittingEmptySubsequences: true)
    for segment in segments {
      switch segment {
      case ".": continue
      case "..": _ = kept.popLast()
      default: kept.append(segment)
      }
    }
    return kept.isEmpty ? "/" : "/" + kept.joined(separator: "/") + (path.hasSuffix("/") ? "/" : "")
  }
}
