import Testing
import WeirCore

@testable import WeirAWS

struct AWSVerdictTests {
  private func verdict(_ reply: ScriptedTransport.Reply, method: String = "PUT") throws -> AWSVerdict {
    let answer = try reply.get()
    let error = AWSVerdict.isError(answer, method: method) ? AWSServiceError(answer) : nil
    return AWSVerdict(answer, error, at: TestMachine.startSeconds)
  }

  @Test(arguments: [200, 204, 206, 304, 404, 409, 412]) func `statuses that callers understand are answers`(status: Int) throws {
    #expect(try verdict(.xml(status, "PreconditionFailed")) == .answered)
  }

  @Test(arguments: ["SlowDown", "ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"])
  func `a throttled request had no effect`(code: String) throws {
    #expect(try verdict(.json(400, code)) == .passing(.throttled, mayHaveActed: false))
    #expect(try verdict(.xml(503, code)) == .passing(.throttled, mayHaveActed: false))
  }

  @Test func `429 throttles whatever it says`() throws {
    #expect(try verdict(.answer(429)) == .passing(.throttled, mayHaveActed: false))
  }

  @Test(arguments: [500, 502, 503, 504]) func `a failed service may have acted`(status: Int) throws {
    #expect(try verdict(.xml(status, "ServiceUnavailable")) == .passing(.failed, mayHaveActed: true))
    #expect(try verdict(.answer(status)) == .passing(.failed, mayHaveActed: true))
  }

  @Test func `a request that the service did not get whole had no effect`() throws {
    #expect(try verdict(.xml(400, "RequestTimeout")) == .passing(.timeout, mayHaveActed: false))
    #expect(try verdict(.answer(408)) == .passing(.timeout, mayHaveActed: false))
  }

  @Test(arguments: [(403, "AccessDenied"), (400, "ValidationException"), (301, "PermanentRedirect"), (501, "NotImplemented")])
  func `all else is fatal`(status: Int, code: String) throws {
    #expect(try verdict(.xml(status, code)) == .final(.fatal))
  }

  @Test func `a condition of DynamoDB that does not hold fences`() throws {
    #expect(try verdict(.json(400, "ConditionalCheckFailedException")) == .final(.fenced))
  }

  @Test func `a cancelled transaction is judged by its reasons`() throws {
    func cancelled(_ codes: [String]) throws -> AWSVerdict {
      let reasons = codes.map { "{\"Code\":\"\($0)\"}" }.joined(separator: ",")
      return try verdict(.answer(400, "{\"__type\":\"x#TransactionCanceledException\",\"CancellationReasons\":[\(reasons)]}"))
    }
    #expect(try cancelled(["None", "ConditionalCheckFailed", "ThrottlingError"]) == .final(.fenced))
    #expect(try cancelled(["None", "TransactionConflict"]) == .passing(.failed, mayHaveActed: false))
    #expect(try cancelled(["ProvisionedThroughputExceeded", "TransactionConflict"]) == .passing(.throttled, mayHaveActed: false))
    #expect(try cancelled(["ValidationError", "ThrottlingError"]) == .final(.fatal))
    #expect(try cancelled([]) == .final(.fatal))
  }

  @Test func `a wrong clock is seen by the answer's date`() throws {
    let date = ["Date": "Mon, 30 Nov 2026 08:20:00 GMT"]
    #expect(try verdict(.xml(403, "RequestTimeTooSkewed", date)) == .clocksDiffer(serverSeconds: TestMachine.startSeconds + 1200))
    #expect(try verdict(.json(400, "InvalidSignatureException", date)) == .clocksDiffer(serverSeconds: TestMachine.startSeconds + 1200))
    #expect(try verdict(.xml(403, "SignatureDoesNotMatch", ["Date": "Mon, 30 Nov 2026 08:00:02 GMT"])) == .final(.fatal))
    #expect(try verdict(.xml(403, "RequestTimeTooSkewed", ["Date": "yesterday"])) == .final(.fatal))
  }

  @Test func `an error inside of a 200 is an error`() throws {
    let xml = ["Content-Type": "application/xml"]
    #expect(try verdict(.xml(200, "InternalError", xml)) == .passing(.failed, mayHaveActed: true))
    #expect(try verdict(.xml(200, "SlowDown", xml)) == .passing(.throttled, mayHaveActed: false))
    #expect(try verdict(.answer(200, "<CopyObjectResult></CopyObjectResult>", xml)) == .answered)
    #expect(try verdict(.answer(200, "<Error></Error>", ["Content-Type": "text/plain"])) == .answered)
    // An object that is stored as it is.
    #expect(try verdict(.xml(200, "InternalError", xml), method: "GET") == .answered)
  }

  @Test func `codes are read from XML, JSON and headers`() throws {
    func error(_ reply: ScriptedTransport.Reply) throws -> AWSServiceError { AWSServiceError(try reply.get()) }
    #expect(try error(.xml(400, "A&amp;B")).code == "A&B")
    #expect(try error(.xml(400, "X")).requestID == "R1")
    #expect(try error(.json(400, "ThrottlingException")).code == "ThrottlingException")
    #expect(try error(.answer(400, "{}", ["x-amzn-ErrorType": "Name:http://internal.amazon.com/x"])).code == "Name")
    #expect(try error(.answer(400, "{\"code\":\"C\",\"Message\":\"why\"}")).message == "why")
  }

  @Test(arguments: [
    "", "<", "<Error", "<Error><Code>", "{", "{\"__type\":1}", "\u{0}", "<Code></Code>", "&#x110000;", "<Code>&#x110000;&</Code>",
  ])
  func `no answer traps`(body: String) throws {
    _ = AWSServiceError(try ScriptedTransport.Reply.answer(400, body).get())
    _ = XMLText(Array(body.utf8)).root
  }

  @Test func `texts of a service are bounded and move no cursor`() throws {
    let error = AWSServiceError(
      try ScriptedTransport.Reply.answer(400, "<Code>a\u{1B}[2J</Code><Message>\(String(repeating: "m", count: 9999))").get())
    #expect(!error.code.contains("\u{1B}"))
    #expect(error.message.utf8.count < 600)
  }
}

struct HTTPDateTests {
  @Test func `dates of HTTP are read`() {
    #expect(HTTPDate.seconds("Sun, 06 Nov 1994 08:49:37 GMT") == 784_111_777)
    #expect(HTTPDate.seconds("Mon, 30 Nov 2026 08:00:00 GMT") == TestMachine.startSeconds)
  }

  @Test func `ISO 8601 is read with any offset`() {
    #expect(HTTPDate.iso8601Seconds("2026-11-30T08:00:00Z") == TestMachine.startSeconds)
    #expect(HTTPDate.iso8601Seconds("2026-11-30T08:00:00.123Z") == TestMachine.startSeconds)
    #expect(HTTPDate.iso8601Seconds("2026-11-30T10:00:00+02:00") == TestMachine.startSeconds)
    #expect(HTTPDate.iso8601Seconds("2026-11-30T03:00:00-0500") == TestMachine.startSeconds)
    #expect(HTTPDate.iso8601Seconds("1970-01-01T00:00:00Z") == 0)
  }

  @Test(arguments: ["", "Sun, 06 Foo 1994 08:49:37 GMT", "06 Nov 1994", "Sun, 06 Nov 1994 8:49 GMT", "Sun, 99 Nov 1994 08:49:37 GMT"])
  func `other texts are no dates`(text: String) { #expect(HTTPDate.seconds(text) == nil) }

  @Test(arguments: ["", "2026-11-30", "2026-13-30T08:00:00Z", "2026-11-30T08:00:00X", "2026-11-30T08:00:00+2", "20261130T080000Z00000"])
  func `other texts are not ISO 8601`(text: String) { #expect(HTTPDate.iso8601Seconds(text) == nil) }
}
