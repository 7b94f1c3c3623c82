/// Names of columns as tables compare them: without regard to case.
public enum ColumnNames {
  /// Equal for names that readers of Delta tables do not distinguish.
  ///
  /// Readers differ: some compare lower-case letters, others (Java's `equalsIgnoreCase`) also those whose upper-case letters are equal, such as
  /// `ı` and `i`, or `ſ` and `s`. Each letter is one here, so `ß` is not `ss`.
  public static func folded(_ name: String) -> String {
    var out = String.UnicodeScalarView()
    for scalar in name.unicodeScalars { out.append(folded(scalar)) }
    return String(out)
  }

  private static func folded(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
    // Its lower-case letter is i with a dot as a second character.
    if scalar == "\u{130}" { return "i" }
    let upper = single(scalar.properties.uppercaseMapping) ?? scalar
    return single(upper.properties.lowercaseMapping) ?? upper
  }

  private static func single(_ text: String) -> Unicode.Scalar? { text.unicodeScalars.count == 1 ? text.unicodeScalars.first : nil }
}
