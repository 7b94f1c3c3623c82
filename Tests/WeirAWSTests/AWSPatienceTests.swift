import Testing
import WeirCore
import WeirTesting

@testable import WeirAWS

/// What commands that only look wait for.
struct AWSPatienceTests {
  private func failure(_ client: AWSClient, _ request: AWSRequest = AWSClientTests.put) async -> AWSFailure? {
    do throws(AWSFailure) {
      _ = try await client.send(request)
      return nil
    } catch { return error }
  }

  @Test func `a worker repeats a time-out, and a command that looks does not`() async throws {
    let worker = try AWSClientTests.Setup([.timeout(received: false), .answer(200)])
    #expect(await failure(worker.client) == nil && worker.transport.requests.count == 2)
    let looking = try AWSClientTests.Setup([.timeout(received: false), .answer(200)])
    let failed = await AWSPatience.looking { await failure(looking.client) }
    #expect(failed?.code == "Timeout" && looking.transport.requests.count == 1)
    #expect(failed?.message.contains("https://s3.eu-central-1.amazonaws.com") == true, "\(failed?.message ?? "")")
    #expect(looking.transport.requests[0].idleSeconds == AWSPatience.idleSeconds)
    #expect(looking.transport.requests[0].totalMilliseconds <= AWSPatience.totalMilliseconds)
  }

  @Test func `an endpoint that gave no answer is asked once, and again after half a minute`() async throws {
    let setup = try AWSClientTests.Setup([.timeout(received: false), .answer(200, "ok")])
    await AWSPatience.looking {
      let first = await failure(setup.client)
      // Neither another request to it, nor one that must not be repeated, is sent.
      let second = await failure(setup.client, AWSClientTests.putOnce)
      #expect(first?.code == "Timeout" && second?.code == "Timeout" && second?.kind == .retriable)
      #expect(second?.message.contains("too slow") == true && setup.transport.requests.count == 1)
      setup.clock.advance(by: AWSPatience.restNanoseconds)
      #expect(await failure(setup.client) == nil && setup.transport.requests.count == 2)
    }
  }

  @Test func `an endpoint that answers with an error is asked again`() async throws {
    let setup = try AWSClientTests.Setup([.xml(403, "AccessDenied"), .xml(403, "AccessDenied"), .xml(503, "SlowDown"), .answer(200)])
    await AWSPatience.looking {
      #expect(await failure(setup.client)?.code == "AccessDenied")
      #expect(await failure(setup.client)?.code == "AccessDenied")
      #expect(await failure(setup.client) == nil)
    }
    #expect(setup.transport.requests.count == 4)
  }

  @Test func `an endpoint that has answered may be slow`() async throws {
    let setup = try AWSClientTests.Setup([.answer(200), .timeout(received: false), .answer(200)])
    await AWSPatience.looking {
      for _ in 0..<2 { #expect(await failure(setup.client) == nil) }
    }
    #expect(setup.transport.requests.map(\.idleSeconds) == [AWSPatience.idleSeconds, 20, 20])
  }

  @Test func `commands do not share what they found`() async throws {
    let setup = try AWSClientTests.Setup([.timeout(received: false), .timeout(received: false)])
    for _ in 0..<2 { await AWSPatience.looking { _ = await failure(setup.client) } }
    #expect(setup.transport.requests.count == 2)
  }
}
