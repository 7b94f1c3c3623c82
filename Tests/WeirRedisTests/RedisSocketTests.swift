import Glibc
import Testing

@testable import WeirRedis

/// One end of a pair of sockets is the server: what it answers is there before it is asked.
@Suite struct RedisSocketTests {
  private func exchange(_ answer: String, _ commands: Int = 2, closes: Bool = false) -> (Result<[RedisReply], RedisFailure>, sent: String) {
    var ends: [Int32] = [0, 0]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
    let socket = RedisSocket(ends[0], replyMilliseconds: 10_000)
    defer { socket.close() }
    #expect(write(ends[1], answer, answer.utf8.count) == answer.utf8.count)
    if closes { shutdown(ends[1], Int32(SHUT_WR)) }
    let result = Result { () throws(RedisFailure) in try socket.exchange((0..<commands).map { RedisCommand("GET", "k\($0)") }) }
    var bytes = [UInt8](repeating: 0, count: 1000)
    let count = read(ends[1], &bytes, bytes.count)
    close(ends[1])
    return (result, String(decoding: bytes.prefix(max(0, count)), as: UTF8.self))
  }

  @Test func `commands are sent together, and each has its reply`() throws {
    let (result, sent) = exchange("+OK\r\n$3\r\nabc\r\n")
    #expect(try result.get() == [.simple("OK"), .bulk(Array("abc".utf8))])
    #expect(sent == "*2\r\n$3\r\nGET\r\n$2\r\nk0\r\n*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n")
  }

  @Test(arguments: ["", "+OK\r\n", "+OK\r\n$3\r\nab", "+OK\r\n*2\r\n:1\r\n"])
  func `a connection that ends in the middle of a reply is no answer`(
    _ answer: String
  ) {
    guard case .failure(.noAnswer) = exchange(answer, closes: true).0 else {
      Issue.record("\(answer)")
      return
    }
  }

  @Test(arguments: ["HTTP/1.1 400 Bad Request\r\n\r\n", "+OK\r\n+OK\r\n+OK\r\n", "\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}\u{46}\r\n"])
  func `what is no reply, and one reply too much, end the connection`(_ answer: String) {
    #expect(throws: RedisFailure.malformed) { try exchange(answer).0.get() }
  }

  @Test func `a server that is not there is no answer`() {
    // A socket that listens to nothing: its port is known, and refuses.
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        #expect(bind(descriptor, raw, size) == 0 && getsockname(descriptor, raw, &size) == 0)
      }
    }
    let port = UInt16(bigEndian: address.sin_port)
    #expect(throws: RedisFailure.noAnswer("Connection refused")) {
      try RedisSocketConnector(replyMilliseconds: 1000).connect(host: "127.0.0.1", port: port)
    }
  }
}
