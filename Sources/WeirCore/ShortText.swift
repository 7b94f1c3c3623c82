extension String {
  /// The text, or as much of its beginning as fits with "…" after it: what comes from input appears in a message, but does not
  /// become its size. A scalar is not cut in two.
  public func shortened(toBytes bytesMax: Int) -> String {
    guard utf8.count > bytesMax else { return self }
    var end = utf8.index(startIndex, offsetBy: bytesMax)
    while end > startIndex, end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
    return String(self[..<end]) + "…"
  }
}
