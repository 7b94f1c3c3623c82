import CMicroHTTPD
import Synchronization
import WeirCore
import WeirObserve

/// One request and its answer. All but ``request`` belongs to the library's thread and, while the connection is suspended, to the one
/// that resumes it.
final class Exchange: @unchecked Sendable {
  // Unchecked: `phase` and `head` are changed by the library's thread, and by `Exchanges` under its lock while the connection is suspended;
  // resuming it orders the two.
  enum Phase {
    case headers, body
    /// The connection is suspended.
    case asked
    case answered(AdminResponse)
    /// The server stops.
    case refused
  }

  /// What the library passes with each call.
  struct Head {
    let connection: OpaquePointer
    let method: String
    /// `HTTP/1.1`
    let version: String

    init(_ connection: OpaquePointer, method: String, version: String) {
      (self.connection, self.method, self.version) = (connection, method, version)
    }

    var isHTTP11: Bool { version == "HTTP/1.1" }
  }

  let target: String
  let connection: OpaquePointer
  fileprivate(set) var phase = Phase.headers
  private(set) var request: AdminRequest
  private let exchanges: Exchanges
  private var bodyBytes = 0

  /// A request needs no body; more than this is not read.
  private static let bodyBytesMax = 64 << 10

  init(target: String, connection: OpaquePointer, _ exchanges: Exchanges) {
    (self.target, self.connection, self.exchanges) = (target, connection, exchanges)
    request = AdminRequest(method: "", target: "", hosts: [])
  }

  /// The library calls this when the headers are complete, for each part of a body, at the request's end, and after a suspension.
  /// - Parameter size: bytes of a body's part; set to 0: taken.
  func advance(_ head: Head, _ size: UnsafeMutablePointer<Int>) -> MHD_Result {
    switch phase {
    case .headers:
      let headers = Headers(head.connection)
      request = AdminRequest(
        method: head.method, target: target, hosts: headers.hosts, isHTTP10: head.version == "HTTP/1.0", hasOrigin: headers.hasOrigin,
        authorization: headers.authorization)
      phase = .body
      // Answered without the body, which may never come: the library closes the connection after that.
      if let problem = headers.problem { return send(.malformed(problem), head) }
      return .YES
    case .body where size.pointee > 0:
      bodyBytes += size.pointee
      size.pointee = 0
      return bodyBytes > Exchange.bodyBytesMax ? .NO : .YES
    case .body: return exchanges.suspend(self)
    case .asked: return .YES
    case .answered(let answer): return send(answer, head)
    case .refused: return .NO
    }
  }

  func end() { exchanges.connections.quiet(connection) }

  private func send(_ answer: AdminResponse, _ head: Head) -> MHD_Result {
    guard let response = answer.body.withUnsafeBytes({ weir_http_response($0.baseAddress, $0.count) }) else { return .NO }
    defer { MHD_destroy_response(response) }
    var headers = [("Content-Type", answer.contentType), ("Cache-Control", "no-store")]
    if let allow = answer.allow { headers.append(("Allow", allow)) }
    if let authenticate = answer.authenticate { headers.append(("WWW-Authenticate", authenticate)) }
    // Connections are few, so one of HTTP/1.0 that asks to be kept is closed too. Metrics take long to write: a connection that sends
    // hundreds of such requests at once would keep probes waiting.
    if !head.isHTTP11 || request.path.first == "metrics" { headers.append(("Connection", "close")) }
    for (name, value) in headers where MHD_add_response_header(response, name, value) != .YES { return .NO }
    return MHD_queue_response(head.connection, UInt32(answer.status), response)
  }
}

extension Exchange {
  /// The headers that are looked at.
  private struct Headers {
    var hosts: [String] = []
    var hasOrigin = false
    var authorization: String?
    private var authorizations = 0
    private var lengths: [String] = []

    /// Why no route answers the request; nil: one does.
    var problem: String? {
      if authorizations > 1 { return "there are \(authorizations) Authorization headers, and a request has one at most" }
      if lengths.count > 1 { return "there are \(lengths.count) Content-Length headers, and a request has one at most" }
      guard let length = lengths.first else { return nil }
      let isNumber = !length.isEmpty && length.utf8.allSatisfy { (0x30...0x39).contains($0) }
      if isNumber, let bytes = Int(length), bytes <= Exchange.bodyBytesMax { return nil }
      return "Content-Length must be a number up to \(Exchange.bodyBytesMax)"
    }

    init(_ connection: OpaquePointer) {
      _ = withUnsafeMutablePointer(to: &self) { headers in
        MHD_get_connection_values(
          connection, .HEADER_KIND,
          { headers, _, name, value in
            guard let headers, let name else { return .NO }
            headers.assumingMemoryBound(to: Headers.self).pointee.take(String(cString: name), value.map { String(cString: $0) } ?? "")
            return .YES
          }, headers)
      }
    }

    private mutating func take(_ name: String, _ value: String) {
      switch name.lowercased() {
      case "host": hosts.append(value)
      case "origin": hasOrigin = true
      case "authorization":
        authorizations += 1
        authorization = value
      case "content-length": lengths.append(value)
      default: break
      }
    }
  }
}

/// The requests that are being answered.
final class Exchanges: Sendable {
  let connections = Connections()
  private let asked: AsyncStream<Exchange>.Continuation

  private struct State {
    var isStopping = false
    /// Whose connections are suspended.
    var waiting: [ObjectIdentifier: Exchange] = [:]
  }
  private let state = Mutex(State())

  init(asked: AsyncStream<Exchange>.Continuation) { self.asked = asked }

  /// The context of a callback.
  static func of(_ context: UnsafeMutableRawPointer) -> Exchanges { Unmanaged.fromOpaque(context).takeUnretainedValue() }

  /// Suspends the connection until the request is answered. On the library's thread.
  func suspend(_ exchange: Exchange) -> MHD_Result {
    connections.answering(exchange.connection)
    // Under the lock, so that `stop` either sees it or comes before it.
    let isTaken = state.withLock { state in
      guard !state.isStopping else { return false }
      exchange.phase = .asked
      MHD_suspend_connection(exchange.connection)
      state.waiting[ObjectIdentifier(exchange)] = exchange
      return true
    }
    if isTaken { asked.yield(exchange) }
    return isTaken ? .YES : .NO
  }

  /// Does nothing for a request that `stop` has refused.
  func answer(_ exchange: Exchange, _ answer: AdminResponse) { resume(exchange, .answered(answer)) }

  /// Refuses the requests that wait, and all later ones.
  func stop() {
    let waiting = state.withLock { state in
      state.isStopping = true
      return Array(state.waiting.values)
    }
    for exchange in waiting { resume(exchange, .refused) }
    asked.finish()
  }

  private func resume(_ exchange: Exchange, _ phase: Exchange.Phase) {
    // Under the lock: the library's server is there until `stop` has seen the connection resumed.
    state.withLock { state in
      guard state.waiting.removeValue(forKey: ObjectIdentifier(exchange)) != nil else { return }
      exchange.phase = phase
      MHD_resume_connection(exchange.connection)
    }
  }
}
