/// RFC 4648.
package enum Base64 {
  package enum Form: Sendable {
    /// Section 4.
    case standard
    /// Section 5, without `=` at the end.
    case urlWithoutPadding
  }

  package static func encode(_ bytes: [UInt8], _ form: Form = .standard) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789\(form == .standard ? "+/" : "-_")".utf8)
    var out: [UInt8] = []
    out.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let part = bytes[start..<min(bytes.count, start + 3)]
      let bits = (0..<3).reduce(UInt32(0)) { $0 << 8 | ($1 < part.count ? UInt32(part[start + $1]) : 0) }
      for i in 0..<4 {
        if i <= part.count {
          out.append(digits[Int(bits >> UInt32(18 - 6 * i) & 63)])
        } else if form == .standard {
          out.append(UInt8(ascii: "="))
        }
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
