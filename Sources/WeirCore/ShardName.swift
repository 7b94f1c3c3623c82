/// The name of a shard that is one of several of a stream: `orders/3`.
///
/// What a source must give: a shard's name is the name of its stream, a `/`, and the shard's own part, which has no `/`. Where a stream is one
/// shard, as a plain capture is, the shard has the stream's name, which has no `/` then. Ledgers, rows and records in topics keep these names, so
/// a source never gives a shard another one.
public struct ShardName: Hashable, Sendable {
  private static let separator: Character = "/"

  /// The shard's stream.
  public let stream: String
  /// What distinguishes it from the other shards of the stream. Most sources number them.
  public let part: String

  /// - Returns: nil for the only shard of a stream.
  public init?(_ name: String) {
    guard let end = name.lastIndex(of: ShardName.separator) else { return nil }
    stream = String(name[..<end])
    part = String(name[name.index(after: end)...])
  }

  /// nil: the source does not number its shards.
  public var number: Int? { part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(part) : nil }

  /// Whether a name is made of several parts: then it is none of a stream that is one shard, and none of a table.
  package static func hasParts(_ name: String) -> Bool { name.contains(separator) }

  /// The order for people: `orders/9` before `orders/10`. No two names are equal in it.
  package static func precedes(_ a: String, _ b: String) -> Bool {
    func key(_ name: String) -> (String, Int, String) {
      let parts = ShardName(name)
      return (parts?.stream ?? name, parts?.number ?? 0, name)
    }
    return key(a) < key(b)
  }
}
