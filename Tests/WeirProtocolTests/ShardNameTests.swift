import Testing
import WeirCore

/// What a shard's name says.
@Suite struct ShardNameTests {
  @Test(
    arguments: [
      ("orders/3", "orders", "3", 3), ("a:orders/12", "a:orders", "12", 12), ("a/b/7", "a/b", "7", 7),
      ("kinesis/shardId-000000000003", "kinesis", "shardId-000000000003", nil), ("t/", "t", "", nil), ("t/+3", "t", "+3", nil),
      ("t/-3", "t", "-3", nil), ("t/007", "t", "007", 7), ("t/99999999999999999999", "t", "99999999999999999999", nil), ("/1", "", "1", 1),
    ] as [(String, String, String, Int?)])
  func `a shard's part is after the last slash, and it is a number only if it is written as one`(
    _ name: String, _ stream: String, _ part: String, _ number: Int?
  ) throws {
    let parts = try #require(ShardName(name))
    #expect(parts.stream == stream && parts.part == part && parts.number == number)
    #expect(ShardName.hasParts(name))
  }

  @Test(arguments: ["flights", "", "_merge", "a:flights"]) func `the only shard of a stream has the stream's name`(_ name: String) {
    #expect(ShardName(name) == nil && !ShardName.hasParts(name))
  }

  @Test func `shards are shown by stream and number, and in the same order whatever the order in which they are known`() {
    let names = [
      "a", "b/2", "b/9", "b/10", "k/shardId-1", "k/shardId-2", "k/shardId-3", "m:b/1", "z",
    ]
    for shift in names.indices {
      let turned = Array(names[shift...] + names[..<shift])
      #expect(turned.sorted(by: ShardName.precedes) == names)
      #expect(turned.reversed().sorted(by: ShardName.precedes) == names)
    }
    for a in names { for b in names { #expect(!(ShardName.precedes(a, b) && ShardName.precedes(b, a))) } }
  }
}
