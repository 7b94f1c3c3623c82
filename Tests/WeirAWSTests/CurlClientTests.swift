import Testing
import WeirCore

@testable import WeirAWS

@Suite(.timeLimit(.minutes(5))) struct CurlClientTests {
  private func request(_ server: TinyServer, _ method: String = "GET", bodyBytes: Int = 0) -> AWSTransportRequest {
    var request = AWSTransportRequest(
      method: method, origin: server.origin, target: "/a%20b/../c?x=1", headers: [.init("Host", "example.com"), .init("X-Empty", "")],
      body: [UInt8](repeating: 7, count: bodyBytes))
    request.totalMilliseconds = 120_000
    request.usesProxy = false
    return request
  }

  /// In a run of all tests minutes may pass between two requests of a test.
  private func newClient(_ settings: CurlClient.Settings = .init()) -> CurlClient {
    var settings = settings
    settings.idleConnectionSeconds = 600
    return CurlClient(settings)
  }

  private func failure(_ client: CurlClient, _ request: AWSTransportRequest) async -> AWSTransportFailure? {
    do throws(AWSTransportFailure) {
      _ = try await client.send(request)
      return nil
    } catch { return error }
  }

  private func end(_ client: CurlClient, _ server: TinyServer) {
    client.close()
    server.close()
  }

  @Test func `connections are kept, and a request is as it was signed`() async throws {
    let server = TinyServer([TinyServer.ok("one"), TinyServer.ok("two")])
    let client = newClient()
    defer { end(client, server) }
    let first = try await client.send(request(server))
    let second = try await client.send(request(server, "PUT", bodyBytes: 3_000_000))
    _ = try await client.send(request(server, "POST"))
    #expect([first.body, second.body] == [Array("one".utf8), Array("two".utf8)])
    #expect(first.header("x-test") == "a b")
    #expect(server.connections == 1)
    #expect(server.requests.map(\.bodyBytes) == [0, 3_000_000, 0])
    #expect(server.requests[2].head.contains("\r\nContent-Length: 0"))
    for (request, line) in zip(server.requests, ["GET", "PUT", "POST"]) {
      #expect(request.head.hasPrefix("\(line) /a%20b/../c?x=1 HTTP/1.1\r\n"))
      let names = request.head.split(separator: "\r\n").dropFirst().map { $0.split(separator: ":")[0].lowercased() }
      #expect(Set(names).isSubset(of: ["host", "x-empty", "content-length"]), "\(names)")
      #expect(request.head.contains("\r\nHost: example.com\r\n"))
    }
  }

  @Test func `an attempt without an answer ends with its time`() async throws {
    let server = TinyServer([.silence])
    let client = newClient()
    defer { end(client, server) }
    var request = request(server, "PUT", bodyBytes: 5)
    request.totalMilliseconds = 60
    let failure = try #require(await failure(client, request))
    #expect(failure.kind == .timeout)
    #expect(failure.mayBeReceived)
  }

  @Test func `cancelling a task ends its transfer`() async throws {
    let server = TinyServer([.silence])
    let client = newClient()
    defer { end(client, server) }
    let request = request(server)
    let task = Task { await failure(client, request) }
    try await server.hasRequest()
    task.cancel()
    #expect(await task.value?.kind == .cancelled)
    let late = Task { await failure(client, request) }
    late.cancel()
    _ = await late.value
  }

  @Test func `an answer that is cut off is no answer`() async throws {
    let answers = [
      "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Le",
      "HTTP/1.1 200 OK\r\nX-Test: a\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Test: a\r\n",
    ]
    let server = TinyServer(answers.map { .lastBytes($0) })
    let client = newClient()
    defer { end(client, server) }
    for _ in answers {
      let failure = try #require(await failure(client, request(server, "PUT", bodyBytes: 5)))
      #expect(failure.kind == .broken)
      #expect(failure.mayBeReceived)
    }
  }

  @Test func `an answer that is too large is refused`() async throws {
    let server = TinyServer([TinyServer.ok(String(repeating: "x", count: 101)), TinyServer.ok(String(repeating: "x", count: 100))])
    let client = newClient()
    defer { end(client, server) }
    var request = request(server)
    request.answerBytesMax = 100
    #expect(await failure(client, request)?.kind == .tooLarge)
    #expect(try await client.send(request).body.count == 100)
  }

  @Test func `where no server listens nothing was received`() async throws {
    let client = newClient()
    defer { client.close() }
    var request = AWSTransportRequest(method: "PUT", origin: "http://127.0.0.1:1", target: "/", body: [1])
    request.usesProxy = false
    let failure = try #require(await failure(client, request))
    #expect(failure.kind == .noConnection)
    #expect(!failure.mayBeReceived)
  }

  @Test func `a write that must not be repeated is sent once when a kept connection breaks`() async throws {
    let server = TinyServer([TinyServer.ok(""), .drop, TinyServer.ok("again")])
    let client = newClient()
    defer { end(client, server) }
    _ = try await client.send(request(server))
    var once = request(server, "PUT", bodyBytes: 5)
    once.isRepeatable = false
    let failure = try #require(await failure(client, once))
    #expect(failure.kind == .broken)
    #expect(failure.mayBeReceived)
    #expect(server.requests.count == 2)
  }

  @Test func `a write without a body that must not be repeated has a connection of its own, and is sent once`() async throws {
    let server = TinyServer([TinyServer.ok(""), .drop, TinyServer.ok("again")])
    let client = newClient()
    defer { end(client, server) }
    _ = try await client.send(request(server))
    var once = request(server, "PUT")
    once.isRepeatable = false
    let failure = try #require(await failure(client, once))
    #expect(failure.kind == .broken)
    #expect(failure.mayBeReceived)
    #expect(server.requests.count == 2)
    #expect(server.connections == 2)
  }

  @Test func `a request that may be repeated survives a kept connection that breaks`() async throws {
    let server = TinyServer([TinyServer.ok(""), .drop, TinyServer.ok("again")])
    let client = newClient()
    defer { end(client, server) }
    _ = try await client.send(request(server))
    #expect(try await client.send(request(server, "PUT", bodyBytes: 70_000)).body == Array("again".utf8))
    #expect(server.requests.map(\.bodyBytes) == [0, 70_000, 70_000])
  }

  @Test func `closing ends what runs and refuses what comes`() async throws {
    let server = TinyServer([.silence])
    let client = newClient()
    defer { server.close() }
    let request = request(server)
    let task = Task { await failure(client, request) }
    try await server.hasRequest()
    client.close()
    #expect(await task.value?.kind == .closed)
    #expect(await failure(client, request)?.kind == .closed)
  }

  @Test func `connections to one origin are bounded, and all requests are answered`() async throws {
    let server = TinyServer((0..<20).map { TinyServer.ok("\($0)") })
    var settings = CurlClient.Settings()
    settings.transfersPerOriginMax = 1
    let client = newClient(settings)
    defer { end(client, server) }
    let request = request(server)
    let bodies = try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<20 { group.addTask { String(decoding: try await client.send(request).body, as: UTF8.self) } }
      return try await group.reduce(into: Set()) { $0.insert($1) }
    }
    #expect(bodies == Set((0..<20).map(String.init)))
    #expect(server.connections == 1)
  }

  @Test func `a request that waits for its turn ends with its time, and was not sent`() async throws {
    let server = TinyServer([.silence])
    var settings = CurlClient.Settings()
    settings.transfersPerOriginMax = 1
    let client = newClient(settings)
    defer { end(client, server) }
    let first = request(server)
    let task = Task { await failure(client, first) }
    try await server.hasRequest()
    var second = first
    second.totalMilliseconds = 60
    let late = try #require(await failure(client, second))
    #expect(late.kind == .timeout)
    #expect(!late.mayBeReceived)
    task.cancel()
    #expect(await task.value?.kind == .cancelled)
    #expect(server.requests.count == 1)
  }

  @Test(arguments: ["a\r\nX-Evil: 1", "a\u{0}b", "\u{7F}"]) func `a header that would begin another one is refused`(value: String) async {
    let client = newClient()
    defer { client.close() }
    var request = AWSTransportRequest(method: "GET", origin: "http://127.0.0.1:1", target: "/")
    request.headers = [.init("X", value)]
    #expect(await failure(client, request)?.kind == .configuration)
  }
}
