import Testing
import WeirCore
import WeirOperators

@testable import WeirKinesis

func place(_ text: String) -> ShardPoint { ShardPoint(text: text) ?? ShardPoint(-1) }

func number(_ digits: String, sub: UInt64 = 0) -> SequenceNumber { SequenceNumber(digits, sub: sub) ?? SequenceNumber(UInt128(0)) }

/// Packs records as the format's description says, byte by byte.
struct Packer {
  var keys: [String] = []
  var hashes: [String] = []
  var records: [(key: Int, hash: Int?, data: [UInt8])] = []

  private static func varint(_ value: Int) -> [UInt8] {
    var (out, rest): ([UInt8], Int) = ([], value)
    while rest >= 128 {
      out.append(UInt8(rest & 127 | 128))
      rest >>= 7
    }
    return out + [UInt8(rest)]
  }

  private static func field(_ number: Int, _ bytes: [UInt8]) -> [UInt8] { varint(number << 3 | 2) + varint(bytes.count) + bytes }

  var body: [UInt8] {
    var out: [UInt8] = []
    for key in keys { out += Packer.field(1, Array(key.utf8)) }
    for hash in hashes { out += Packer.field(2, Array(hash.utf8)) }
    for record in records {
      var inner = [8] + Packer.varint(record.key)
      if let hash = record.hash { inner += [16] + Packer.varint(hash) }
      // A tag, which is of no interest here.
      out += Packer.field(3, inner + Packer.field(3, record.data) + Packer.field(4, Packer.field(1, Array("tag".utf8))))
    }
    return out
  }

  static func sealed(_ body: [UInt8]) -> [UInt8] {
    let digest = body.withUnsafeBufferPointer { MD5.hash($0) }
    return [0xF3, 0x89, 0x9A, 0xC2] + body + (0..<16).map { UInt8(truncatingIfNeeded: digest >> UInt128(8 * (15 - $0))) }
  }

  var bytes: [UInt8] { Packer.sealed(body) }

  static func of(_ pairs: [(String, String)]) -> [UInt8] {
    Packer(
      keys: pairs.map(\.0), records: pairs.indices.map { (key: $0, hash: nil, data: Array(pairs[$0].1.utf8)) }
    ).bytes
  }
}

struct AggregateTests {
  @Test func `packed records come out as they went in, with their keys and hashes`() throws {
    let big = [UInt8](repeating: 7, count: 300)
    let packer = Packer(
      keys: ["a", "ü"], hashes: ["0", "340282366920938463463374607431768211455"],
      records: [(0, nil, Array("x".utf8)), (1, 0, big), (0, 1, [])])
    let bytes = packer.bytes
    let found = try #require(Aggregate(bytes)).records
    #expect(found.map(\.key) == ["a", "ü", "a"])
    #expect(found.map { Array(bytes[$0.data]) } == [Array("x".utf8), big, []])
    // Index 0 is a hash, and no index is none.
    #expect(found.map(\.explicitHash) == [nil, 0, UInt128.max])
    #expect(found[0].hash == 0x0CC1_75B9_C0F1_B6A8_31C3_99E2_6977_2661)
  }

  @Test func `whatever is damaged is one plain record`() {
    let packer = Packer(keys: ["a"], records: [(0, nil, [1, 2, 3])])
    let good = packer.bytes
    #expect(Aggregate(good) != nil)
    for at in good.indices {
      var bad = good
      bad[at] ^= 0x20
      #expect(Aggregate(bad) == nil, "byte \(at)")
    }
    for count in 0..<good.count { #expect(Aggregate(Array(good.prefix(count))) == nil, "\(count) bytes") }
    #expect(Aggregate(good + [0]) == nil)
    // Whole, but no message: no records, a key that is not there, a hash that is none, a field of another kind, a length beyond the end.
    let broken: [[UInt8]] = [
      Packer(keys: ["a"]).body, Packer(keys: ["a"], records: [(1, nil, [])]).body, Packer(keys: ["a"], records: [(0, 0, [])]).body,
      Packer(keys: ["a"], hashes: ["x"], records: [(0, 0, [])]).body, [0x08, 0x01], [0x1A, 0x7F, 0x00], [0x0A, 0x01, 0xFF], [0x0B],
      [0x1A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
    ]
    for body in broken { #expect(Aggregate(Packer.sealed(body)) == nil, "\(body)") }
  }
}

struct BlockBuilderTests {
  private static let digits = "49590338271490256608559692538361571095"

  private func outer(_ digits: String, _ data: [UInt8], key: String = "k") throws -> OuterRecord {
    OuterRecord(sequence: number(digits), arrival: 1_700_000_000_123, key: key, data: data)
  }

  private func values(_ block: RawBlock) -> [String] {
    guard case .spans(let offset, let length) = block.framing else { return [] }
    return offset.indices.map { i in
      withExtendedLifetime(block) {
        String(decoding: UnsafeBufferPointer(start: block.text.base + Int(offset[i]), count: Int(length[i])), as: UTF8.self)
      }
    }
  }

  @Test func `records of an aggregate are counted one by one, and a block ends with an outer record`() throws {
    var builder = KinesisBlockBuilder("s/1", from: KinesisPlace.beginningOfShard, range: .all, bytesMax: 60)
    let added1 = builder.add(try outer("5", Packer.of([("a", "one"), ("b", "two")])))
    #expect(added1)
    let added2 = builder.add(try outer("9", Array("three".utf8)))
    #expect(added2)
    let added3 = builder.add(try outer("10", [UInt8](repeating: 1, count: 60)))
    #expect(!added3, "the block is full")
    #expect(builder.next.text == "3@9:1")
    let block = builder.finish()
    let details = try #require(block.details)
    #expect(values(block) == ["one", "two", "three"])
    #expect((0..<3).map { details.point($0).text } == ["0@5:0", "1@5:1", "2@9:0"])
    #expect((0..<3).map { details.key($0, in: block.text).map { String(decoding: $0.bytes, as: UTF8.self) } } == ["a", "b", "k"])
    #expect(details.arrivals == [Int64](repeating: 1_700_000_000_123_000, count: 3) && details.isAppendTime)
  }

  @Test func `a start within an aggregate repeats nothing, and what came before is left out`() throws {
    let packed = Packer.of([("a", "one"), ("b", "two"), ("c", "three")])
    let point = ShardPoint(ordinal: 41, sequence: SequenceNumber(BlockBuilderTests.digits, sub: 2))
    var builder = KinesisBlockBuilder("s/1", from: point, range: .all, bytesMax: 1000)
    let added4 = builder.add(try outer("7", Array("old".utf8)))
    #expect(added4)
    #expect(builder.isEmpty)
    let added5 = builder.add(try outer(BlockBuilderTests.digits, packed))
    #expect(added5)
    #expect(values(builder.finish()) == ["three"] && builder.next.text == "42@\(BlockBuilderTests.digits):3")
    var again = KinesisBlockBuilder("s/1", from: builder.next, range: .all, bytesMax: 1000)
    let added6 = again.add(try outer(BlockBuilderTests.digits, packed))
    #expect(added6)
    #expect(again.isEmpty && again.next == builder.next)
  }

  @Test func `an aggregate with a record of another shard is one plain record`() throws {
    let packed = Packer.of([("a", "one"), ("b", "two")])
    // MD5 of a begins with 0c, that of b with 92.
    let half = HashRange(0, UInt128.max / 2)
    var builder = KinesisBlockBuilder("s/1", from: KinesisPlace.beginningOfShard, range: half, bytesMax: 1000)
    let added7 = builder.add(try outer("5", packed))
    #expect(added7)
    #expect(builder.count == 1 && builder.misplacedAggregates == 1 && builder.next.text == "1@5:1")
  }
}
