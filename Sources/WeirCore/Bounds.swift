/// Largest numbers that a file may state. Whatever decodes a number from bytes that this process did not make (ledger entries and
/// snapshots, lane state, segments of captures) checks it against one of these before it calculates with it.
///
/// They are far above what any stream reaches, and far enough below 64 bits that sums and differences of a few of them fit.
public enum Bounds {
  /// Records, rows, files, bytes, epochs, generations and numbers of entries: 2^56.
  public static let count: Int64 = 1 << 56
  /// Positions within a shard: 2^62.
  public static let position: Int64 = 1 << 62
  /// Distance of a time from 1970, in microseconds: 36,000 years. Event times of records are in the years 1 to 9999.
  public static let time: Int64 = 1 << 60
  /// Lanes of one capture.
  public static let lanes = 1024

  public static func isCount(_ value: Int64) -> Bool { (0...count).contains(value) }
  public static func isPosition(_ value: Int64) -> Bool { (0...position).contains(value) }

  /// A time, or an end of ``Watermark``.
  public static func isWatermark(_ value: Int64) -> Bool {
    value == Watermark.minimum || value == Watermark.maximum || (-time...time).contains(value)
  }
}

extension Int64 {
  /// The sum, or the nearest number that there is.
  public func saturatingSum(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other < 0 ? .min : .max) : sum
  }

  /// The product, or the nearest number that there is.
  public func saturatingProduct(_ other: Int64) -> Int64 {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? ((self < 0) == (other < 0) ? .max : .min) : product
  }
}
