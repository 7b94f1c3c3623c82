import CMicroHTTPD
import Dispatch
import WeirCore
import WeirObserve
import WeirPlan

/// The admin endpoints over HTTP/1.1, by GNU libmicrohttpd: one thread, few connections, requests whose bodies are ignored.
///
///     library's thread   headers are complete: suspends the connection, hands the request to `requests`
///     a task             asks `respond`; resumes the connection with the answer
///     library's thread   writes the answer
package actor AdminServer: AdminHost {
  private var exchanges: Exchanges?
  private var daemon: Daemon?
  private var serving: Task<Void, Never>?
  /// For name look-ups, and for the wait until the library's thread has ended.
  private let threads = BlockingThreads(count: 1, name: "weir-admin-set")

  package init() {}

  deinit { threads.stop() }

  /// Binds and serves until ``stop()``.
  /// - Returns: the port, which is another than asked for if that was 0.
  /// - Throws: `admin` when the address cannot be had.
  package func start(_ address: AdminAddress, respond: @escaping @Sendable (AdminRequest) async -> AdminResponse) async throws -> Int {
    let (requests, asked) = AsyncStream<Exchange>.makeStream()
    let exchanges = Exchanges(asked: asked)
    let (daemon, port) = try await threads.run {
      let listener = try Listener(address)
      let port = listener.port
      return (try Daemon(listener, exchanges), port)
    }
    (self.exchanges, self.daemon) = (exchanges, daemon)
    serving = Task {
      await withDiscardingTaskGroup { group in
        for await exchange in requests {
          group.addTask { exchanges.answer(exchange, await respond(exchange.request)) }
        }
      }
    }
    return port
  }

  package func stop() async {
    // First: no connection may be suspended when the library stops.
    exchanges?.stop()
    serving?.cancel()
    if let daemon { try? await threads.run { daemon.stop() } }
    (exchanges, daemon, serving) = (nil, nil, nil)
  }
}

/// The library's server and its thread.
final class Daemon: @unchecked Sendable {
  // Unchecked: set in `init`, read once by `stop`, which is called once.
  private let handle: OpaquePointer
  /// The callbacks' context, held until they have ended.
  private let exchanges: Unmanaged<Exchanges>

  /// Seconds without a byte, then a connection is closed.
  private static let idleSeconds: UInt32 = 5
  /// Bytes of a connection: half of it is for the headers of a request.
  private static let memory = 32 << 10

  init(_ listener: consuming Listener, _ exchanges: Exchanges) throws {
    self.exchanges = .passRetained(exchanges)
    var http = weir_http(
      socket: listener.descriptor,
      // Those that ``Connections`` closes are open for a moment more.
      connections_max: UInt32(2 * Connections.max), idle_seconds: Daemon.idleSeconds, memory: Daemon.memory,
      context: self.exchanges.toOpaque(),
      request_begins: { context, target, connection in
        guard let context, let target, let connection else { return nil }
        let exchange = Exchange(target: String(cString: target), connection: connection, Exchanges.of(context))
        return Unmanaged.passRetained(exchange).toOpaque()
      },
      request_handler: { _, connection, _, method, version, _, bodyBytes, exchange in
        guard let connection, let method, let version, let bodyBytes, let exchange = exchange?.pointee else { return .NO }
        let request = Exchange.Head(connection, method: String(cString: method), version: String(cString: version))
        return Unmanaged<Exchange>.fromOpaque(exchange).takeUnretainedValue().advance(request, bodyBytes)
      },
      request_ended: { _, _, exchange, _ in
        guard let pointer = exchange?.pointee else { return }
        exchange?.pointee = nil
        Unmanaged<Exchange>.fromOpaque(pointer).takeRetainedValue().end()
      },
      connection_changed: { context, connection, _, change in
        guard let context, let connection else { return }
        Exchanges.of(context).connections.changed(connection, isOpen: change == .CONNECTION_NOTIFY_STARTED)
      })
    guard let handle = weir_http_start(&http) else {
      self.exchanges.release()
      throw WeirError(
        .admin, "the admin server's thread cannot start", advice: "Check the limits of processes and open files (ulimit -u, ulimit -n).")
    }
    self.handle = handle
    // The library closes it.
    listener.release()
  }

  /// Closes all connections and waits for the thread. No connection may be suspended.
  func stop() {
    MHD_stop_daemon(handle)
    exchanges.release()
  }
}
