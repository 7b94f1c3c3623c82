import CWeirTLS
import Glibc
import WeirCore

/// Connections over TCP, with or without TLS.
package struct RedisSocketConnector: RedisConnector {
  /// Files and names as TLS needs them; secrets are read when a connection is made.
  package struct TLS: Sendable {
    package var authorities: String?
    package var certificate: String?
    package var key: RedisServer.Text?
    package var keyPassword: RedisServer.Text?
    package var checksHostName = true
    package init() {}
  }

  package var tls: TLS?
  package var connectMilliseconds: Int64 = 5_000
  package var replyMilliseconds: Int64

  package init(tls: TLS? = nil, replyMilliseconds: Int64) { (self.tls, self.replyMilliseconds) = (tls, replyMilliseconds) }

  package func connect(host: String, port: UInt16) throws(RedisFailure) -> any RedisConnection {
    let descriptor = try RedisSocket.open(host, port, milliseconds: connectMilliseconds)
    let socket = RedisSocket(descriptor, replyMilliseconds: replyMilliseconds)
    if let tls {
      do { try socket.begin(tls, host: host, milliseconds: connectMilliseconds) } catch {
        socket.close()
        throw error
      }
    }
    return socket
  }
}

/// A connected socket. Waits with poll(2).
final class RedisSocket: RedisConnection, @unchecked Sendable {
  // Unchecked: used by the table's one thread.
  private var descriptor: Int32
  private var tls: OpaquePointer?
  private var parser = RESPParser()
  private let replyMilliseconds: Int64
  private var buffer = [UInt8](repeating: 0, count: 64 << 10)

  /// An exchange ends after this many time-outs, however the bytes trickle.
  private static let timeoutsMax: Int64 = 20

  init(_ descriptor: Int32, replyMilliseconds: Int64) { (self.descriptor, self.replyMilliseconds) = (descriptor, replyMilliseconds) }

  deinit { close() }

  func close() {
    if let tls { weir_tls_free(tls) }
    tls = nil
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }

  private static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }

  private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }

  // MARK: Connect

  /// Tries the host's addresses one after the other.
  static func open(_ host: String, _ port: UInt16, milliseconds: Int64) throws(RedisFailure) -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, String(port), &hints, &list)
    guard code == 0 else { throw .noAnswer("the host's name is not found (\(String(cString: gai_strerror(code))))") }
    defer { freeaddrinfo(list) }
    var why = "the host has no address"
    var address = list
    while let each = address {
      let descriptor = socket(each.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK | O_CLOEXEC, 0)
      if descriptor >= 0 {
        let code = connected(descriptor, each.pointee, milliseconds)
        if code == 0 { return descriptor }
        why = reason(code)
        Glibc.close(descriptor)
      } else {
        why = reason(errno)
      }
      address = each.pointee.ai_next
    }
    throw .noAnswer(why)
  }

  /// - Returns: 0, or the code of an error.
  private static func connected(_ descriptor: Int32, _ address: addrinfo, _ milliseconds: Int64) -> Int32 {
    var on: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, size)
    setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, size)
    if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return 0 }
    guard errno == EINPROGRESS else { return errno }
    let deadline = now() + milliseconds
    while true {
      var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      let left = deadline - now()
      guard left > 0 else { return ETIMEDOUT }
      let count = poll(&wait, 1, Int32(min(left, 1 << 30)))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return count == 0 ? ETIMEDOUT : errno }
      var code: Int32 = 0
      var bytes = size
      return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &bytes) == 0 ? code : errno
    }
  }

  // MARK: TLS

  func begin(_ settings: RedisSocketConnector.TLS, host: String, milliseconds: Int64) throws(RedisFailure) {
    let (key, password) = (try RedisSocket.read(settings.key), try RedisSocket.read(settings.keyPassword))
    tls = try RedisSocket.create(descriptor, settings, host, key, password)
    let deadline = RedisSocket.now() + milliseconds
    while true {
      var message = [CChar](repeating: 0, count: 256)
      switch weir_tls_handshake(tls, &message, message.count) {
      case 1: return
      case Int32(WEIR_TLS_WANTS_READ): try wait(Int16(POLLIN), deadline)
      case Int32(WEIR_TLS_WANTS_WRITE): try wait(Int16(POLLOUT), deadline)
      case Int32(WEIR_TLS_CLOSED): throw .noAnswer("the server closed the connection during the TLS handshake")
      default:
        let text = RedisSocket.text(message)
        guard text.contains("certificate") else { throw .noAnswer(text) }
        throw .refused(.storageRefused, text, advice: "Check the authorities of the TLS settings and the host's name in the certificate.")
      }
    }
  }

  private static func read(_ secret: RedisServer.Text?) throws(RedisFailure) -> String? {
    do { return try secret?() } catch {
      throw .refused(.config, (error as? WeirError)?.message ?? "a secret cannot be read", advice: "Provide the secret and run again.")
    }
  }

  private static func create(
    _ descriptor: Int32, _ tls: RedisSocketConnector.TLS, _ host: String, _ key: String?, _ password: String?
  ) throws(RedisFailure) -> OpaquePointer {
    var message = [CChar](repeating: 0, count: 256)
    let created = withOptional(host) { host in
      withOptional(tls.authorities) { authorities in
        withOptional(tls.certificate) { certificate in
          withOptional(key) { key in
            withOptional(password) { password in
              var settings = weir_tls_settings(
                host: host, checks_host: tls.checksHostName ? 1 : 0, authorities: authorities, certificate: certificate, key: key,
                key_password: password)
              return weir_tls_create(descriptor, &settings, &message, message.count)
            }
          }
        }
      }
    }
    guard let created else {
      throw .refused(.storageRefused, text(message), advice: "Check the files of the TLS settings.")
    }
    return created
  }

  private static func withOptional<T>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> T) -> T {
    guard let text else { return body(nil) }
    return text.withCString { body($0) }
  }

  private static func text(_ message: [CChar]) -> String {
    String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  // MARK: Exchange

  func exchange(_ commands: [RedisCommand]) throws(RedisFailure) -> [RedisReply] {
    guard descriptor >= 0 else { throw .noAnswer("the connection is closed") }
    // What came unasked would be taken for a reply.
    guard parser.isEmpty else { throw .malformed }
    var out: [UInt8] = []
    out.reserveCapacity(commands.reduce(0) { $0 + $1.byteCount + 16 })
    for command in commands { command.write(to: &out) }
    var (sent, replies) = (0, [RedisReply]())
    let end = RedisSocket.now() + replyMilliseconds * RedisSocket.timeoutsMax
    var deadline = RedisSocket.now() + replyMilliseconds
    while replies.count < commands.count {
      var moved = false
      if sent < out.count, case let count = try send(out[sent...]), count > 0 { (sent, moved) = (sent + count, true) }
      while case let count = try receive(), count > 0 { moved = true }
      do { while let reply = try parser.next() { replies.append(reply) } } catch { throw .malformed }
      guard replies.count < commands.count else { break }
      if moved {
        deadline = min(end, RedisSocket.now() + replyMilliseconds)
        if sent < out.count { continue }
      }
      try wait(Int16(POLLIN) | (sent < out.count ? Int16(POLLOUT) : 0), deadline)
    }
    guard replies.count == commands.count else { throw .malformed }
    return replies
  }

  private func wait(_ events: Int16, _ deadline: Int64) throws(RedisFailure) {
    while true {
      let left = deadline - RedisSocket.now()
      guard left > 0 else { throw .noAnswer("no reply within the time-out") }
      var wait = pollfd(fd: descriptor, events: events, revents: 0)
      let count = poll(&wait, 1, Int32(min(left, 1 << 30)))
      if count > 0 { return }
      guard count == 0 || errno == EINTR else { throw .noAnswer(RedisSocket.reason(errno)) }
    }
  }

  /// - Returns: 0: not now.
  private func send(_ bytes: ArraySlice<UInt8>) throws(RedisFailure) -> Int {
    let count = bytes.withUnsafeBytes { bytes -> Int in
      guard let tls else { return Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
      return throughTLS { weir_tls_write(tls, bytes.baseAddress, min(bytes.count, 1 << 20), $0, $1) }
    }
    if count >= 0 { return count }
    guard errno == EAGAIN || errno == EINTR else { throw .noAnswer(RedisSocket.reason(errno)) }
    return 0
  }

  /// - Returns: 0: nothing has come.
  private func receive() throws(RedisFailure) -> Int {
    let count = buffer.withUnsafeMutableBytes { bytes -> Int in
      guard let tls else { return recv(descriptor, bytes.baseAddress, bytes.count, 0) }
      return throughTLS { weir_tls_read(tls, bytes.baseAddress, bytes.count, $0, $1) }
    }
    if count > 0 {
      parser.append(buffer[..<count])
      return count
    }
    if count == 0 { throw .noAnswer("the server closed the connection") }
    guard errno == EAGAIN || errno == EINTR else { throw .noAnswer(RedisSocket.reason(errno)) }
    return 0
  }

  /// As the calls of a socket end: a count, or -1 with `errno`.
  private func throughTLS(_ body: (UnsafeMutablePointer<CChar>, Int) -> Int) -> Int {
    var message = [CChar](repeating: 0, count: 256)
    let count = message.withUnsafeMutableBufferPointer { body($0.baseAddress!, $0.count) }
    if count >= 0 { return count }
    errno = count == WEIR_TLS_FAILED ? EPROTO : EAGAIN
    return -1
  }
}
