/// Hashes of keys, 128 bit, that belong to a shard: both ends included.
public struct HashRange: Sendable, Hashable {
  public static let all = HashRange(0, .max)

  public let first: UInt128
  public let last: UInt128

  public init(_ first: UInt128, _ last: UInt128) {
    precondition(first <= last, "a range of hashes ends before it begins")
    (self.first, self.last) = (first, last)
  }

  public func contains(_ hash: UInt128) -> Bool { first <= hash && hash <= last }

  /// `first-last`, decimal.
  public var text: String { "\(first)-\(last)" }

  /// Reads ``text``.
  public init?(text: String) {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt128($0) }
    guard ends.count == 2, let first = ends[0], let last = ends[1], first <= last else { return nil }
    self.init(first, last)
  }
}
