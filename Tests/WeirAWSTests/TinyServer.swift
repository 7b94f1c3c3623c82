import Dispatch
import Glibc
import Synchronization
import WeirCore

/// An HTTP server on threads of its own, one per connection, for tests of the client. Every wait in it is bounded.
final class TinyServer: Sendable {
  enum Reply: Sendable {
    /// As it is; the connection is kept.
    case bytes(String)
    /// As it is, and the connection ends.
    case lastBytes(String)
    /// The connection ends without an answer.
    case drop
    /// No answer until the client ends the connection.
    case silence
  }

  struct Seen: Sendable {
    var connections = 0
    /// Heads of requests, with their bodies' lengths.
    var requests: [(head: String, bodyBytes: Int)] = []
  }

  /// In a run of all tests a test may wait for a thread of the pool for longer than a minute, between any two of its steps.
  private static let secondsMax = 600

  let port: UInt16
  private let listener: Int32
  private let seen = Mutex(Seen())
  private let replies: Mutex<[Reply]>
  private let arrived = DispatchSemaphore(value: 0)

  static func ok(_ body: String) -> Reply { .bytes("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\nX-Test: a b \r\n\r\n\(body)") }

  /// After the replies' end each request gets `200` and no body.
  init(_ replies: [Reply]) {
    self.replies = Mutex(replies)
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        precondition(bind(listener, pointer, size) == 0 && listen(listener, 64) == 0 && getsockname(listener, pointer, &size) == 0)
      }
    }
    port = UInt16(bigEndian: address.sin_port)
    BlockingThreads.spawn(name: "tiny-server") { [self] in run() }
  }

  var origin: String { "http://127.0.0.1:\(port)" }
  var connections: Int { seen.withLock { $0.connections } }
  var requests: [(head: String, bodyBytes: Int)] { seen.withLock { $0.requests } }

  struct NoRequest: Error {}

  /// Waits for a request that is complete, at most for as long as the server waits for one.
  func hasRequest() async throws {
    let watch = BlockingThreads(count: 1)
    defer { watch.stop() }
    let hasOne = try await watch.run { [arrived] in arrived.wait(timeout: .now() + .seconds(TinyServer.secondsMax)) == .success }
    if !hasOne { throw NoRequest() }
  }

  /// Ends the threads when their connections have ended.
  func close() { shutdown(listener, Int32(SHUT_RDWR)) }

  private func run() {
    defer { Glibc.close(listener) }
    while wait(listener) {
      let connection = accept(listener, nil, nil)
      guard connection >= 0 else { return }
      seen.withLock { $0.connections += 1 }
      BlockingThreads.spawn(name: "tiny-server") { [self] in
        while serve(connection) {}
        Glibc.close(connection)
      }
    }
  }

  private func wait(_ file: Int32) -> Bool {
    var wait = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
    return poll(&wait, 1, Int32(TinyServer.secondsMax * 1000)) > 0
  }

  /// One request; false: the connection is over.
  private func serve(_ connection: Int32) -> Bool {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    var need = Int.max
    var head = ""
    while bytes.count < need {
      guard wait(connection) else { return false }
      let count = recv(connection, &chunk, chunk.count, 0)
      guard count > 0 else { return false }
      bytes += chunk[..<count]
      if need == Int.max, let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) {
        head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
        need = end.upperBound + TinyServer.length(head)
      }
    }
    seen.withLock { $0.requests.append((head, TinyServer.length(head))) }
    arrived.signal()
    return answer(connection)
  }

  private func answer(_ connection: Int32) -> Bool {
    switch replies.withLock({ $0.isEmpty ? TinyServer.ok("") : $0.removeFirst() }) {
    case .bytes(let text): return send(connection, text)
    case .lastBytes(let text):
      _ = send(connection, text)
      return false
    case .drop: return false
    case .silence:
      var byte: UInt8 = 0
      if wait(connection) { _ = recv(connection, &byte, 1, 0) }
      return false
    }
  }

  private func send(_ connection: Int32, _ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return Glibc.send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
  }

  private static func length(_ head: String) -> Int {
    for line in head.split(separator: "\r\n") where line.lowercased().hasPrefix("content-length:") {
      return Int(line.split(separator: ":")[1].filter { $0 != " " }) ?? 0
    }
    return 0
  }
}
