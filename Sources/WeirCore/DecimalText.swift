/// Integers and decimal numbers as text.
public enum DecimalText {
  /// `12.30` for 1230 with scale 2; all of the scale's digits are written.
  public static func text(_ unscaled: Int128, scale: Int) -> String {
    var out: [UInt8] = []
    append(unscaled, scale: scale, to: &out)
    return String(decoding: out, as: UTF8.self)
  }

  public static func append(_ unscaled: Int128, scale: Int, to out: inout [UInt8]) {
    if unscaled < 0 { out.append(UInt8(ascii: "-")) }
    let magnitude = unscaled.magnitude
    if let small = UInt64(exactly: magnitude) {
      digits(small, point: scale, to: &out)
    } else {
      let digits = Array(String(magnitude).utf8)
      let zeros = max(0, scale + 1 - digits.count)
      let all = [UInt8](repeating: UInt8(ascii: "0"), count: zeros) + digits
      out += all[..<(all.count - scale)]
      if scale > 0 {
        out.append(UInt8(ascii: "."))
        out += all[(all.count - scale)...]
      }
    }
  }

  public static func append(_ value: Int64, to out: inout [UInt8]) {
    if value < 0 { out.append(UInt8(ascii: "-")) }
    digits(value.magnitude, point: 0, to: &out)
  }

  /// Digits from the end; a point before the last `point` of them, with as many zeros as that needs.
  private static func digits(_ value: UInt64, point: Int, to out: inout [UInt8]) {
    withUnsafeTemporaryAllocation(byteCount: max(20, point + 1) + 1, alignment: 1) { text in
      var at = text.count
      var rest = value
      var written = 0
      repeat {
        if written == point, point > 0 {
          at -= 1
          text[at] = UInt8(ascii: ".")
        }
        at -= 1
        text[at] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
        rest /= 10
        written += 1
      } while rest > 0 || written <= point
      out.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[at...]))
    }
  }
}
