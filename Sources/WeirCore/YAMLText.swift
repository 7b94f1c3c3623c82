/// Texts in YAML that is written for people.
public enum YAMLText {
  /// What readers of YAML take for something else than a text.
  private static let words: Set<String> = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]

  /// A plain scalar, also within `{ }`, where every reader takes it for this text; otherwise in quotes.
  public static func scalar(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy {
      $0 &- 0x30 < 10 || $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A || $0 == 0x5F || $0 == 0x2E || $0 == 0x21 || $0 == 0x2D
    }
    let first = text.utf8.first.map { $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A || $0 == 0x5F } ?? false
    return isPlain && first && !words.contains(text.lowercased()) ? text : quoted(text)
  }

  /// In double quotes YAML has the escapes of JSON. Its readers refuse some characters that cannot be seen, and the bound of anchors and
  /// aliases counts `&` and `*` wherever they are.
  public static func quoted(_ text: String) -> String {
    var out = ""
    for scalar in JSONValue.string(text).text.unicodeScalars {
      guard scalar == "&" || scalar == "*" || Printable.invisible(in: String(scalar)) != nil else {
        out.unicodeScalars.append(scalar)
        continue
      }
      let hex = String(scalar.value, radix: 16, uppercase: true)
      out += "\\U" + String(repeating: "0", count: 8 - hex.count) + hex
    }
    return out
  }
}
