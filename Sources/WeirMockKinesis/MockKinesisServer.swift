import Foundation
import WeirCore

/// The mock over HTTP on loopback: a thread for each connection, one lock for the whole state.
///
/// JSON 1.1, and event streams for SubscribeToShard. Signatures are not checked. Without TLS, so over HTTP/1.1.
package final class MockKinesisServer: @unchecked Sendable {
  // Unchecked: `state` is touched only while `changed` is locked; all else is set in `init`.
  private static let waitMillisecondsMax: Int64 = 200
  /// A client that takes nothing for so long is cut off.
  private static let sendSeconds = 60

  /// `http://127.0.0.1:PORT`
  package let address: String
  private let listener: Int32
  private let clock: any Clock
  private let delayMilliseconds: Int
  /// Locks the state, and wakes subscriptions when it has changed.
  private let changed = NSCondition()
  private var state: MockKinesis

  /// Listens, on a thread of its own.
  /// - Parameters:
  ///   - port: 0: any free one.
  ///   - delay: of every answer, milliseconds.
  /// - Throws: `config`: the port cannot be had.
  package init(_ settings: MockKinesisSettings, port: UInt16, delay: Int, clock: any Clock) throws(WeirError) {
    (self.clock, delayMilliseconds, state) = (clock, delay, MockKinesis(settings))
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var yes: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_addr.s_addr = inet_addr("127.0.0.1")
    place.sin_port = port.bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    let isBound = withUnsafeMutablePointer(to: &place) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(listener, pointer, size) == 0 && listen(listener, 256) == 0 && getsockname(listener, pointer, &size) == 0
      }
    }
    guard isBound else {
      let reason = String(cString: strerror(errno))
      close(listener)
      throw WeirError(.config, "the test server cannot listen on 127.0.0.1:\(port): \(reason)", advice: "Choose another port, or 0.")
    }
    address = "http://127.0.0.1:\(UInt16(bigEndian: place.sin_port))"
    BlockingThreads.spawn(name: "mock-kinesis") { [weak self] in
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else {
          if errno == EINTR || errno == ECONNABORTED { continue }
          break
        }
        guard let self else {
          Glibc.close(connection)
          break
        }
        BlockingThreads.spawn(name: "mock-kinesis") { self.serve(connection) }
      }
      Glibc.close(listener)
    }
  }

  deinit { shutdown(listener, Int32(SHUT_RDWR)) }

  // MARK: Commands

  /// Makes a stream whose shards share the range of hashes evenly.
  package func create(_ name: String, shards: Int) throws(WeirError) {
    do throws(MockRefusal) {
      try changing { state throws(MockRefusal) in
        try state.make(name, shards: Int64(shards), isOnDemand: false, recordKiB: 1024, at: now)
      }
    } catch { throw WeirError(.config, "\(name) is not a stream: \(error.message)") }
  }

  /// Carries a command out, a line of words.
  /// - Returns: one line; it begins with `error: ` if the command was not carried out.
  package func command(_ line: String) -> String { changing { $0.command(line) } }

  private var now: Int64 { clock.wallMicroseconds / 1000 }

  private func changing<Result, Failure: Error>(_ body: (inout MockKinesis) throws(Failure) -> Result) throws(Failure) -> Result {
    changed.lock()
    defer {
      changed.broadcast()
      changed.unlock()
    }
    return try body(&state)
  }

  // MARK: Requests

  private func serve(_ descriptor: Int32) {
    var connection = HTTPConnection(descriptor)
    var patience = timeval(tv_sec: MockKinesisServer.sendSeconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    var count = 0
    while let request = connection.request() {
      count += 1
      if delayMilliseconds > 0 { usleep(UInt32(clamping: delayMilliseconds * 1000)) }
      let id = "\(descriptor)-\(count)-\(now)"
      do throws(MockRefusal) {
        let (operation, arguments) = try MockKinesisServer.read(request)
        if operation == "SubscribeToShard" {
          guard try push(arguments, on: connection, id) else { return }
        } else {
          let json = try changing { state throws(MockRefusal) in try state.answer(operation, arguments, at: now) }
          guard MockKinesisServer.answer(200, json, on: connection, id) else { return }
        }
      } catch {
        guard MockKinesisServer.answer(error.status, error.json, on: connection, id) else { return }
      }
    }
  }

  private static func read(_ request: HTTPRequest) throws(MockRefusal) -> (String, MockArguments) {
    guard request.method == "POST", let target = request.headers["x-amz-target"], target.hasPrefix("Kinesis_20131202.") else {
      throw MockRefusal("UnknownOperationException", "a request is a POST with X-Amz-Target: Kinesis_20131202.OPERATION")
    }
    guard let json = try? JSONValue(parsing: request.body.isEmpty ? Array("{}".utf8) : request.body), json.members != nil else {
      throw MockRefusal("SerializationException", "the body is not a JSON object")
    }
    return (String(target.dropFirst("Kinesis_20131202.".count)), MockArguments(json))
  }

  private static func answer(_ status: Int, _ json: JSONValue?, on connection: borrowing HTTPConnection, _ id: String) -> Bool {
    connection.answer(status, [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", id)], json?.bytes ?? [])
  }

  // MARK: Subscriptions

  /// - Returns: whether the connection can be used further.
  private func push(_ arguments: MockArguments, on connection: borrowing HTTPConnection, _ id: String) throws(MockRefusal) -> Bool {
    let (key, number) = try changing { state throws(MockRefusal) in try state.subscribe(arguments, at: now) }
    defer { changing { $0.unsubscribe(key, number) } }
    let headers = [("Content-Type", "application/vnd.amazon.eventstream"), ("x-amzn-RequestId", id)]
    guard connection.begin(headers), connection.part(EventStreamWriter.event("initial-response", Array("{}".utf8))) else { return false }
    while true {
      if connection.isOver { return false }
      switch next(key, number) {
      case .wait: continue
      case .cut: return false
      case .event(let json):
        guard connection.part(EventStreamWriter.event("SubscribeToShardEvent", json.bytes)) else { return false }
      case .lastEvent(let json):
        return connection.part(EventStreamWriter.event("SubscribeToShardEvent", json.bytes)) && connection.part([])
      case .exception(let refusal): return connection.part(EventStreamWriter.exception(refusal)) && connection.part([])
      case .end: return connection.part([])
      }
    }
  }

  /// What a subscription does now; waits for a moment where that is nothing.
  private func next(_ key: String, _ number: Int) -> MockPush {
    changed.lock()
    defer { changed.unlock() }
    let push = state.push(key, number, at: now)
    if case .wait(let moment) = push {
      let milliseconds = max(1, min(MockKinesisServer.waitMillisecondsMax, moment - now))
      _ = changed.wait(until: Date(timeIntervalSinceNow: Double(milliseconds) / 1000))
    }
    return push
  }
}
