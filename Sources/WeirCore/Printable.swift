/// Data that is shown to people: in a summary, a log line, an error.
public enum Printable {
  /// The text, or as much of its beginning as fits with "…" after it. Control characters are escaped (`\n`, `\t`, `\u{1B}`), so that
  /// data moves no cursor and begins no line; ill-formed UTF-8 becomes U+FFFD.
  public static func text(_ bytes: some Collection<UInt8>, bytesMax: Int) -> String {
    // One byte more, so that it can be seen that there is more.
    let text = String(decoding: bytes.prefix(bytesMax + 4), as: UTF8.self)
    return Printable.text(text, bytesMax: bytesMax)
  }

  public static func text(_ text: String, bytesMax: Int) -> String {
    var out = String.UnicodeScalarView()
    var bytes = 0
    for scalar in text.unicodeScalars {
      let shown = escape(scalar)
      bytes += shown?.utf8.count ?? UTF8.width(scalar)
      guard bytes <= bytesMax else {
        out.append("…")
        break
      }
      if let shown { out.append(contentsOf: shown.unicodeScalars) } else { out.append(scalar) }
    }
    return String(out)
  }

  /// The first character that cannot be seen, or that looks like an ordinary space: formats (zero-width characters, soft hyphens,
  /// changes of direction), controls, and white space but the space itself. nil: there is none.
  public static func invisible(in text: some StringProtocol) -> Unicode.Scalar? { text.unicodeScalars.first(where: isInvisible) }

  /// The text with such characters as `\u{200B}`; line feeds and tabs are kept.
  public static func visible(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { isInvisible($0) && $0 != "\n" && $0 != "\t" }) else { return text }
    var out = ""
    for scalar in text.unicodeScalars {
      if isInvisible(scalar), scalar != "\n", scalar != "\t" {
        out += "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
      } else {
        out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  /// `U+200B (ZERO WIDTH SPACE)`.
  public static func name(of scalar: Unicode.Scalar) -> String {
    let hex = String(scalar.value, radix: 16, uppercase: true)
    let code = "U+" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
    return (scalar.properties.name ?? scalar.properties.nameAlias).map { "\(code) (\($0))" } ?? code
  }

  private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7F { return scalar.value < 0x20 }
    switch scalar.properties.generalCategory {
    case .control, .format, .spaceSeparator, .lineSeparator, .paragraphSeparator: return true
    // Variation selectors, fillers: drawn as nothing.
    default: return scalar.properties.isDefaultIgnorableCodePoint
    }
  }

  /// nil: shown as it is.
  private static func escape(_ scalar: Unicode.Scalar) -> String? {
    switch scalar.value {
    case 0x0A: "\\n"
    case 0x0D: "\\r"
    case 0x09: "\\t"
    case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF:
      "\\u{" + String(scalar.value, radix: 16, uppercase: true) + "}"
    default: nil
    }
  }
}
