/// How many cases a thorough test takes: all in release, a part in debug, where code is 30 times slower and the same tests run for
/// what only debug builds check (exclusive access, assertions).
public enum Cases {
  /// The distance between the cases that are taken: 1 in release.
  public static func step(debug: Int) -> Int {
    #if DEBUG
      debug
    #else
      1
    #endif
  }

  /// Some of the numbers `first ..< end`, the first among them.
  public static func seeds(_ range: Range<UInt64>, debugStep: Int) -> [UInt64] {
    Array(stride(from: range.lowerBound, to: range.upperBound, by: step(debug: debugStep)))
  }
}
