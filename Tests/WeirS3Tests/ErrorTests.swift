import Testing
import WeirAWS
import WeirCore
import WeirS3Settings
import WeirTesting

@testable import WeirS3

/// Every failure says where, and what to do.
@Suite struct ErrorTests {
  /// Answers all requests alike.
  private struct Refusing: AWSSender {
    let endpoint = "https://s3.eu-central-1.amazonaws.com"
    let answer: @Sendable (AWSRequest) -> Result<AWSResponse, AWSFailure>
    func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse { try answer(request).get() }
  }

  private func store(_ answer: @escaping @Sendable (AWSRequest) -> Result<AWSResponse, AWSFailure>) throws -> S3ObjectStore {
    S3ObjectStore(
      S3Settings(try S3Location("s3://bucket/lake")), sender: Refusing(answer: answer), clock: ManualClock(.moves), random: CountingRandom()
    )
  }

  private func refused(_ code: String, _ status: Int, _ inner: String = "") -> @Sendable (AWSRequest) -> Result<AWSResponse, AWSFailure> {
    { request in
      .failure(
        AWSFailure(
          .fatal, code: code, message: "\(request.operation) at s3: \(code)", status: status, requestID: "R1",
          body: Array("<Error><Code>\(code)</Code>\(inner)</Error>".utf8)))
    }
  }

  private func error(_ call: () async throws -> Void) async throws -> WeirError {
    do { try await call() } catch let error as WeirError { return error }
    throw CancellationError()
  }

  @Test func `a missing permission is named with its resource`() async throws {
    let store = try store(refused("AccessDenied", 403))
    let read = try await error { _ = try await store.get("a") }
    #expect(read.code == .storageRefused && read.message.contains("cannot read s3://bucket/lake/a") && read.message.contains("R1"))
    #expect(read.advice?.contains("s3:GetObject") == true && read.advice?.contains("arn:aws:s3:::bucket/lake/*") == true)
    #expect(try await error { _ = try await store.list("") }.advice?.contains("s3:ListBucket on arn:aws:s3:::bucket.") == true)
    #expect(try await error { try await store.delete("a") }.advice?.contains("s3:DeleteObject") == true)
    #expect(try await error { try await store.replace(NewObject(path: "a", bytes: [])) }.advice?.contains("s3:PutObject") == true)
    #expect(try await error { try await store.abortUploads(olderThan: 0) }.advice?.contains("s3:ListBucketMultipartUploads") == true)
    guard case .unknown(let why) = await store.putIfAbsent(NewObject(path: "a", bytes: [])) else {
      Issue.record("created")
      return
    }
    #expect(why.contains("s3:PutObject"))
  }

  @Test func `region, clock, credentials, bucket and space have advice of their own`() async throws {
    for (code, status, inner, words) in [
      ("PermanentRedirect", 301, "<Region>eu-west-1</Region>", "region eu-west-1: set AWS_REGION"),
      ("AuthorizationHeaderMalformed", 400, "<Region>us-west-2</Region>", "us-west-2"), ("PermanentRedirect", 301, "", "AWS_REGION"),
      ("RequestTimeTooSkewed", 403, "", "clock"), ("InvalidAccessKeyId", 403, "", "credentials"), ("ExpiredToken", 400, "", "credentials"),
      ("InvalidObjectState", 403, "<StorageClass>GLACIER</StorageClass>", "restore it"),
      ("NotImplemented", 501, "", "may lack this function"), ("KMS.DisabledException", 400, "", "KMS"),
      ("Odd", 400, "", "Check the bucket"),
    ] {
      let failed = try await error { _ = try await store(refused(code, status, inner)).get("a") }
      #expect(failed.code == .storageRefused && !failed.isRetriable && failed.advice?.contains(words) == true, "\(failed)")
    }
    let full = try await error { try await store(refused("QuotaExceeded", 403)).replace(NewObject(path: "a", bytes: [])) }
    #expect(full.code == .fullDisk)
    let missing = try store { _ in .success(AWSResponse(status: 404, body: Array("<Error><Code>NoSuchBucket</Code></Error>".utf8))) }
    #expect(try await error { _ = try await missing.get("a") }.advice?.contains("Create the bucket") == true)
    #expect(try await error { _ = try await missing.list("") }.advice?.contains("Create the bucket") == true)
  }

  @Test func `answers that make no sense are errors, and no traps`() async throws {
    for body in ["", "<html>welcome</html>", "{}", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"] {
      let odd = try store { _ in .success(AWSResponse(status: 200, body: Array(body.utf8))) }
      #expect(try await error { _ = try await odd.list("") }.code == .storage)
      #expect(try await error { try await odd.abortUploads(olderThan: 0) }.code == .storage)
      let upload = try await odd.upload("a")
      #expect(try await error { try await upload.append([UInt8](repeating: 1, count: 17 << 20)) }.code == .storage)
      await upload.abandon()
    }
    let odd = try store { _ in .success(AWSResponse(status: 304)) }
    _ = try await error { _ = try await odd.get("a") }
    _ = try await error { try await odd.delete("a") }
    // A listing without an end.
    let endless = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>"
    let forever = try store { _ in .success(AWSResponse(status: 200, body: Array(endless.utf8))) }
    #expect(try await error { _ = try await forever.list("") }.message.contains("pages"))
    #expect(try await error { _ = try await forever.first(of: "") }.message.contains("pages"))
  }

  @Test func `paths that no key can be are refused`() async throws {
    let store = try store { _ in .success(AWSResponse(status: 200)) }
    for path in ["", "a\nb", String(repeating: "x", count: 1020)] {
      #expect(try await error { _ = try await store.get(path) }.code == .storageRefused)
    }
    #expect(try await error { _ = try await store.get("a", offset: -1, count: 1) }.code == .storageRefused)
  }
}
