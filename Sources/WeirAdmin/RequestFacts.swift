import HTTPTypes
import NIOCore
import NIOHTTP1

/// Keeps what the conversion from an HTTP/1 head to `HTTPRequest` drops, as headers of our own: the whole target, whose host replaces
/// the Host header's, and the version.
final class RequestFacts: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart

  static let host = name("host")
  static let target = name("weir-request-target")
  static let version = name("weir-request-version")
  static let version10 = "1.0"
  static let close = "close"

  private static func name(_ text: String) -> HTTPField.Name {
    guard let name = HTTPField.Name(text) else { preconditionFailure("\(text) is not a header's name") }
    return name
  }

  /// Right after the decoder, before the conversion.
  static func add(to pipeline: ChannelPipeline.SynchronousOperations) throws {
    let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
    try pipeline.addHandler(RequestFacts(), position: .after(decoder))
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(var head) = unwrapInboundIn(data) else { return context.fireChannelRead(data) }
    // The server looks for this one word only: not for other cases, and not for HTTP/1.0, which closes by default. Connections are few,
    // so one that asks to be kept (`Keep-Alive`) is closed too.
    // Metrics take long to write: a connection that sends hundreds of such requests at once would keep probes waiting.
    if !head.isKeepAlive || head.version != .http1_1 || head.uri.hasPrefix("/metrics") {
      head.headers.replaceOrAdd(name: "connection", value: RequestFacts.close)
    }
    // Replaced, so that a client cannot send its own.
    head.headers.replaceOrAdd(name: RequestFacts.target.rawName, value: head.uri)
    head.headers.replaceOrAdd(name: RequestFacts.version.rawName, value: "\(head.version.major).\(head.version.minor)")
    context.fireChannelRead(wrapInboundOut(.head(head)))
  }
}
