import Foundation
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import WeirCore
import WeirObserve
import WeirPlan

/// The admin endpoints over HTTP/1.1: one thread, few connections, requests without bodies.
package actor AdminServer: AdminHost {
  /// Bytes of all headers of a request.
  static let headerBytesMax = 16 << 10
  /// A connection on which nothing comes for so long is closed; see also ``Connections``.
  private static let idleTimeout = TimeAmount.seconds(5)

  private var serving: Task<Void, any Error>?

  package init() {}

  /// Binds and serves until ``stop()``.
  /// - Returns: the port, which is another than asked for if that was 0.
  /// - Throws: `admin` when the address cannot be had.
  package func start(_ address: AdminAddress, respond: @escaping @Sendable (AdminRequest) async -> AdminResponse) async throws -> Int {
    let (ports, port) = AsyncThrowingStream<Int, any Error>.makeStream(bufferingPolicy: .bufferingOldest(1))
    let server = AdminServer.make(address, respond) { channel in port.yield(channel.localAddress?.port ?? address.port) }
    serving = Task {
      do { try await server.run() } catch { port.finish(throwing: error) }
    }
    do {
      for try await number in ports { return number }
      throw AdminServer.refused(address, "the server was stopped")
    } catch {
      // NIO's own text names its function's parameters.
      throw AdminServer.refused(address, (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)")
    }
  }

  package func stop() {
    serving?.cancel()
    serving = nil
  }

  private static func make(
    _ address: AdminAddress, _ respond: @escaping @Sendable (AdminRequest) async -> AdminResponse,
    _ onRunning: @escaping @Sendable (any Channel) async -> Void
  ) -> Server<HTTP1Channel> {
    var configuration = HTTP1Channel.Configuration(idleTimeout: idleTimeout)
    let connections = Connections()
    configuration.additionalChannelHandlers = { [ConnectionWatch(connections)] }
    configuration.httpDecoder.maxHeaderListSize = headerBytesMax
    configuration.httpDecoder.maxHeaderFieldSize = headerBytesMax
    let silent = Logger(label: "admin", factory: { _ in SwiftLogNoOpLogHandler() })
    return Server(
      childChannelSetup: HTTP1Channel(
        responder: { request, writer, channel in
          connections.answering(channel)
          defer { connections.quiet(channel) }
          try await answer(request, writer, respond)
        }, configuration: configuration),
      configuration: ServerConfiguration(address: .hostname(address.host, port: address.port)),
      onServerRunning: onRunning, eventLoopGroup: MultiThreadedEventLoopGroup(numberOfThreads: 1), logger: silent)
  }

  private static func answer(
    _ request: Request, _ writer: consuming ResponseWriter, _ respond: @Sendable (AdminRequest) async -> AdminResponse
  ) async throws {
    let asked = AdminRequest(
      method: request.method.rawValue, target: request.headers[RequestFacts.target] ?? "",
      hosts: [request.head.authority].compactMap(\.self) + request.headers[values: RequestFacts.host],
      isHTTP10: request.headers[RequestFacts.version] == RequestFacts.version10, hasOrigin: request.headers[.origin] != nil,
      authorization: request.headers[.authorization])
    let answer = await respond(asked)
    var headers: HTTPFields = [.contentType: answer.contentType, .cacheControl: "no-store"]
    if request.headers[.connection] == RequestFacts.close { headers[.connection] = RequestFacts.close }
    if let allow = answer.allow { headers[.allow] = allow }
    if let authenticate = answer.authenticate { headers[.wwwAuthenticate] = authenticate }
    let status = HTTPResponse.Status(code: answer.status)
    let body = ByteBuffer(bytes: answer.body)
    headers[.contentLength] = String(body.readableBytes)
    try await writer.write(
      response: HTTPResponse(status: status, headerFields: headers),
      body: asked.method == "HEAD" ? ResponseBody() : ResponseBody(byteBuffer: body))
  }

  private static func refused(_ address: AdminAddress, _ why: String) -> WeirError {
    WeirError(
      .admin, "the admin server cannot listen on \(address.text): \(why)",
      advice:
        "Check whether another program uses this port, or set another address: admin.listen in the pipeline, or --admin HOST:PORT (port 0: any free port)."
    )
  }
}
