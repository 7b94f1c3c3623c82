import Testing
import WeirTesting

@testable import WeirRedis

@Suite struct RESPTests {
  private static let replies: [(text: String, reply: RedisReply)] = [
    ("+OK\r\n", .simple("OK")), ("-ERR no\r\n", .error("ERR no")), (":-12\r\n", .integer(-12)), ("$0\r\n\r\n", .bulk([])),
    ("$-1\r\n", .bulk(nil)), ("*-1\r\n", .array(nil)), ("*0\r\n", .array([])), ("$4\r\na\r\nb\r\n", .bulk(Array("a\r\nb".utf8))),
    (
      "*3\r\n$2\r\nOK\r\n*2\r\n:1\r\n*1\r\n$-1\r\n+x\r\n",
      .array([.bulk(Array("OK".utf8)), .array([.integer(1), .array([.bulk(nil)])]), .simple("x")])
    ),
    ("*1\r\n*0\r\n", .array([.array([])])),
  ]

  private func parsed(_ pieces: [ArraySlice<UInt8>]) throws -> [RedisReply] {
    var parser = RESPParser()
    var found: [RedisReply] = []
    for piece in pieces {
      parser.append(piece)
      while let reply = try parser.next() { found.append(reply) }
    }
    #expect(parser.isEmpty)
    return found
  }

  @Test func `replies are the same whatever parts their bytes come in`() throws {
    let bytes = Array(RESPTests.replies.map(\.text).joined().utf8)
    let expected = RESPTests.replies.map(\.reply)
    #expect(try parsed([bytes[...]]) == expected)
    #expect(try parsed(bytes.indices.map { bytes[$0...$0] }) == expected)
    for i in bytes.indices {
      #expect(try parsed([bytes[..<i], bytes[i...]]) == expected)
      for j in i..<bytes.count where (i + j) % 5 == 0 { #expect(try parsed([bytes[..<i], bytes[i..<j], bytes[j...]]) == expected) }
    }
  }

  @Test(arguments: [
    "?\r\n", "\r\n", "$\r\n", "$-2\r\n", "$x\r\n", "$3\r\nabcd\r\n", "$3\r\nabc\n\r", ":1.5\r\n", ":\r\n", "*-2\r\n", "*1048577\r\n",
    "$99999999999999999999\r\n", "$536870913\r\n", "+a\n", "+a\rb\r\n", "_\r\n", "%1\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
    "HTTP/1.1 400 Bad Request\r\n\r\n", ":0x1F\r\n",
  ])
  func `what is not a reply is refused`(_ text: String) {
    var parser = RESPParser()
    parser.append(Array(text.utf8))
    #expect(throws: MalformedReply.self) { while try parser.next() != nil {} }
  }

  @Test func `a line without an end, and claimed lengths, take no memory`() throws {
    var parser = RESPParser()
    parser.append(Array("*1048576\r\n$536870912\r\nabc".utf8))
    #expect(try parser.next() == nil)
    var line = RESPParser()
    line.append([UInt8](repeating: UInt8(ascii: "+"), count: RESPParser.lineBytesMax + 1))
    #expect(throws: MalformedReply.self) { try line.next() }
  }

  @Test func `bytes at random end in replies, an error, or a wait for more`() {
    var random = SplitMix64(seed: 11)
    let alphabet = Array("+-:$*0123456789\r\n\r\n\r\nab".utf8)
    var replies = 0
    for _ in 0..<2000 {
      var parser = RESPParser()
      do {
        for _ in 0..<8 {
          parser.append((0..<random.below(12)).map { _ in alphabet[random.below(alphabet.count)] })
          while try parser.next() != nil { replies += 1 }
        }
      } catch {}
    }
    #expect(replies > 0)
  }

  @Test func `a command is an array of bulk strings`() {
    var command = RedisCommand("SET", "a\r\nb", "")
    command.append(12)
    var out: [UInt8] = []
    command.write(to: &out)
    #expect(String(decoding: out, as: UTF8.self) == "*4\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n$2\r\n12\r\n")
    #expect(command.arguments == ["SET", "a\r\nb", "", "12"].map { Array($0.utf8) })
  }

  /// FIPS 180-4's examples, and the name of a script that any server has: `redis-cli SCRIPT LOAD 'return 1'`.
  @Test func `scripts have the names that servers give them`() {
    #expect(SHA1.hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d")
    #expect(SHA1.hex("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    #expect(SHA1.hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") == "84983e441c3bd26ebaae4aa1f95129e5e54670f1")
    #expect(SHA1.hex("return 1") == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
    #expect(Set(RedisScript.allCases.map(\.digest)).count == RedisScript.allCases.count)
  }
}
