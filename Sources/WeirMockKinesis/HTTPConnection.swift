import Glibc

/// A request that was read whole.
struct HTTPRequest {
  var method: String
  /// Names in lower case.
  var headers: [String: String]
  var body: [UInt8]
}

/// One connection of HTTP/1.1 (RFC 9112), read and written by one thread that may wait.
struct HTTPConnection: ~Copyable {
  private static let headBytesMax = 64 << 10
  private static let bodyBytesMax = 64 << 20
  private static let chunkBytes = 256 << 10

  let descriptor: Int32
  /// Read, and not taken yet.
  private var rest: [UInt8] = []

  init(_ descriptor: Int32) {
    self.descriptor = descriptor
    // Answers are written as a whole.
    var yes: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
  }

  deinit { close(descriptor) }

  // MARK: Reading

  /// The next request; nil: the connection is over, or what came is none.
  mutating func request() -> HTTPRequest? {
    var searched = 0
    let end: Int
    while true {
      if let found = HTTPConnection.headEnd(rest, from: max(0, searched - 3)) {
        end = found
        break
      }
      searched = rest.count
      guard searched <= HTTPConnection.headBytesMax, fill() else { return nil }
    }
    let lines = String(decoding: rest[..<end], as: UTF8.self).split(separator: "\r\n")
    guard let first = lines.first else { return nil }
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { return nil }
      headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmed
    }
    rest.removeFirst(end + 4)
    if headers["expect"]?.lowercased() == "100-continue" { _ = write(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) }
    let length = headers["content-length"].map { Int($0) ?? -1 } ?? 0
    guard headers["transfer-encoding"] == nil, (0...HTTPConnection.bodyBytesMax).contains(length) else {
      answer(411, [], Array("a request needs a Content-Length of at most 64 MiB".utf8))
      return nil
    }
    rest.reserveCapacity(length)
    while rest.count < length { guard fill() else { return nil } }
    let body = Array(rest[..<length])
    rest.removeFirst(length)
    return HTTPRequest(method: String(first.prefix { $0 != " " }), headers: headers, body: body)
  }

  private static func headEnd(_ bytes: [UInt8], from start: Int) -> Int? {
    guard bytes.count >= 4, start <= bytes.count - 4 else { return nil }
    for at in start...(bytes.count - 4)
    where bytes[at] == 0x0D && bytes[at + 1] == 0x0A && bytes[at + 2] == 0x0D && bytes[at + 3] == 0x0A { return at }
    return nil
  }

  /// false: the connection is over.
  private mutating func fill() -> Bool {
    let before = rest.count
    let count = withUnsafeTemporaryAllocation(byteCount: HTTPConnection.chunkBytes, alignment: 1) { buffer -> Int in
      var count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
      while count < 0, errno == EINTR { count = recv(descriptor, buffer.baseAddress, buffer.count, 0) }
      if count > 0 { rest.append(contentsOf: buffer[..<count]) }
      return count
    }
    return count > 0 && rest.count > before
  }

  /// Whether the other side has closed the connection, or has sent what an answer that is under way does not expect.
  var isOver: Bool {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&wait, 1, 0) > 0
  }

  // MARK: Writing

  /// - Returns: whether the connection can be used further.
  @discardableResult
  func answer(_ status: Int, _ headers: [(String, String)], _ body: [UInt8]) -> Bool {
    var head = "HTTP/1.1 \(status) \(status == 200 ? "OK" : "Error")\r\nContent-Length: \(body.count)\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    return write(Array((head + "\r\n").utf8) + body)
  }

  /// Begins an answer of parts.
  func begin(_ headers: [(String, String)]) -> Bool {
    var head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    return write(Array((head + "\r\n").utf8))
  }

  /// A part; an empty one is the end.
  func part(_ bytes: [UInt8]) -> Bool { write(Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + [0x0D, 0x0A]) }

  /// false: the connection is over.
  private func write(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }
}

extension Substring {
  /// Without spaces and tabs at both ends.
  fileprivate var trimmed: String {
    String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
  }
}
