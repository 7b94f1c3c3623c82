import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirAWS

@Suite(.timeLimit(.minutes(5))) struct AWSStreamTests {
  /// Rings when there is something to take.
  private final class News: Sendable {
    private let continuation: AsyncStream<Void>.Continuation
    let bells: AsyncStream<Void>

    init() { (bells, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func ring() { continuation.yield() }
  }

  private func limits(_ news: News, bytesMax: Int = 1 << 20) -> AWSStreamLimits {
    AWSStreamLimits(milliseconds: 120_000, idleSeconds: 60, bytesMax: bytesMax) { news.ring() }
  }

  private func request(_ server: TinyServer) -> AWSTransportRequest {
    var request = AWSTransportRequest(
      method: "POST", origin: server.origin, target: "/", headers: [.init("Host", "example.com")], body: [1, 2, 3])
    request.usesProxy = false
    return request
  }

  /// Everything up to the end, and what the end was; the largest piece.
  private func drain(_ stream: AWSStream, _ news: News) async -> (bytes: [UInt8], last: AWSStream.Piece, largest: Int) {
    var (bytes, largest): ([UInt8], Int) = ([], 0)
    var bells = news.bells.makeAsyncIterator()
    while true {
      switch stream.take() {
      case .bytes(let piece):
        bytes += piece
        largest = max(largest, piece.count)
      case .nothing: _ = await bells.next()
      case let last: return (bytes, last, largest)
      }
    }
  }

  private func open(_ client: CurlClient, _ server: TinyServer, _ limits: AWSStreamLimits) async throws -> AWSStream? {
    if case .stream(let stream) = try await client.open(request(server), limits) { stream } else { nil }
  }

  @Test func `an answer is read piece by piece, with the connection kept`() async throws {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    let server = TinyServer([.bytes(chunks), TinyServer.ok("next")])
    let client = CurlClient()
    defer {
      client.close()
      server.close()
    }
    let news = News()
    let stream = try #require(try await open(client, server, limits(news)))
    let found = await drain(stream, news)
    #expect(found.bytes == Array("hello world".utf8) && found.last == .end)
    #expect(try await client.send(request(server)).body == Array("next".utf8))
  }

  @Test func `what is held for a slow reader is bounded, and nothing is lost`() async throws {
    let body = String(repeating: "0123456789abcdef", count: 250_000)
    let server = TinyServer([TinyServer.ok(body)])
    let client = CurlClient()
    defer {
      client.close()
      server.close()
    }
    let news = News()
    let stream = try #require(try await open(client, server, limits(news, bytesMax: 50_000)))
    let found = await drain(stream, news)
    #expect(found.bytes == Array(body.utf8) && found.last == .end)
    #expect(found.largest <= 50_000)
  }

  @Test func `an answer that breaks says so after what came`() async throws {
    let server = TinyServer([.lastBytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")])
    let client = CurlClient()
    defer {
      client.close()
      server.close()
    }
    let news = News()
    let stream = try #require(try await open(client, server, limits(news)))
    let found = await drain(stream, news)
    #expect(found.bytes == Array("abc".utf8))
    if case .broken = found.last {} else { Issue.record("it ended with \(found.last)") }
  }

  @Test func `closing ends the request, and other statuses are answers as a whole`() async throws {
    let server = TinyServer(
      ["200 OK\r\nContent-Length: 9\r\n\r\nabc", "400 No\r\nContent-Length: 2\r\n\r\nno"].map { .bytes("HTTP/1.1 \($0)") })
    let client = CurlClient()
    defer {
      client.close()
      server.close()
    }
    let news = News()
    let stream = try #require(try await open(client, server, limits(news)))
    stream.close()
    let found = await drain(stream, news)
    #expect(found.bytes.isEmpty && found.last != .end)
    guard case .answer(let answer) = try await client.open(request(server), limits(news)) else {
      Issue.record("an error was a stream")
      return
    }
    #expect(answer.status == 400 && answer.body == Array("no".utf8))
  }

  @Test func `streams do not take the places of other requests`() async throws {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
    let server = TinyServer([.bytes(head), .bytes(head), TinyServer.ok("answer")])
    var settings = CurlClient.Settings()
    settings.transfersPerOriginMax = 1
    let client = CurlClient(settings)
    defer {
      client.close()
      server.close()
    }
    let news = News()
    let streams = [try await open(client, server, limits(news)), try await open(client, server, limits(news))]
    #expect(try await client.send(request(server)).body == Array("answer".utf8))
    for stream in streams { stream?.close() }
  }

  @Test func `a bounded stream takes a piece that is larger than the bound when it is empty`() {
    let rung = Mutex(0)
    let stream = AWSStream(AWSStreamLimits(milliseconds: 1, idleSeconds: 1, bytesMax: 4) {}, hasRoom: { rung.withLock { $0 += 1 } })
    func give(_ bytes: [UInt8]) -> AWSStream.Taken { bytes.withUnsafeBytes { stream.give($0) } }
    #expect(give([1, 2, 3, 4, 5, 6]) == .kept && give([7]) == .full && !stream.wouldTake)
    #expect(stream.take() == .bytes([1, 2, 3, 4, 5, 6]) && rung.withLock { $0 } == 1 && stream.wouldTake)
    #expect(give([7]) == .kept)
    stream.finish("cut")
    #expect(stream.take() == .bytes([7]) && stream.take() == .broken("cut"))
    stream.close()
    #expect(give([8]) == .closed)
  }

  @Test func `a client repeats a refused stream, and reports what repeating cannot help`() async throws {
    let setup = try AWSClientTests.Setup(
      [.json(400, "LimitExceededException"), .answer(200, "whole"), .json(400, "ResourceInUseException")], service: .kinesis)
    let (client, transport, news) = (setup.client, setup.transport, News())
    let request = AWSRequest("SubscribeToShard", method: "POST")
    let stream = try await client.open(request, limits(news))
    #expect(stream.take() == .bytes(Array("whole".utf8)) && stream.take() == .end && transport.requests.count == 2)
    var code: String?
    do throws(AWSFailure) { _ = try await client.open(request, limits(news)) } catch { code = error.code }
    #expect(code == "ResourceInUseException" && transport.requests.count == 3)
  }
}
