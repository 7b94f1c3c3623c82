import Testing
import WeirAWS
import WeirCore
import WeirS3Settings
import WeirTesting

@testable import WeirS3

@Suite struct RequestTests {
  private func store(_ model: S3Model, _ change: (inout S3Settings) -> Void = { _ in }) throws -> S3ObjectStore {
    var settings = S3Settings(try S3Location("s3://bucket/lake"))
    settings.partBytes = 16
    change(&settings)
    return S3ObjectStore(settings, sender: model, clock: ManualClock(.moves), random: CountingRandom())
  }

  private func upload(_ store: S3ObjectStore, _ path: String, _ bytes: Int) async throws -> PutOutcome {
    let upload = try await store.upload(path)
    try await upload.append([UInt8](repeating: 1, count: bytes))
    return await upload.finish()
  }

  @Test func `each operation sends as few requests as it can`() async throws {
    let model = S3Model()
    let store = try store(model)
    func count(_ operations: [String], _ call: () async throws -> Void) async throws {
      model.forget()
      try await call()
      #expect(model.operations == operations)
    }
    let object = NewObject(path: "a", bytes: [1, 2, 3])
    try await count(["PutObject"]) {
      let found = await store.putIfAbsent(object)
      #expect(found == .created)
    }
    // Whether it is ours is asked of the object itself.
    try await count(["PutObject", "GetObject"]) {
      let found = await store.putIfAbsent(object)
      #expect(found == .exists)
    }
    try await count(["PutObject", "PutObject"]) { try await store.write(["b", "c"].map { NewObject(path: $0, bytes: [1]) }) }
    try await count(["PutObject"]) { try await store.replace(object) }
    try await count(["GetObject"]) {
      let found = try await store.get("a")
      #expect(found == [1, 2, 3])
    }
    try await count(["GetObject"]) {
      let found = try await store.get("nothing")
      #expect(found == nil)
    }
    try await count(["GetObject"]) {
      let found = try await store.get("a", offset: 5, count: 2)
      #expect(found == [])
    }
    try await count([]) { try await store.sync("a") }
    try await count(["DeleteObject"]) { try await store.delete("c") }
    try await count(["PutObject"]) {
      let found = try await upload(store, "small", 16)
      #expect(found == .created)
    }
    try await count(["CreateMultipartUpload", "UploadPart", "UploadPart", "UploadPart", "CompleteMultipartUpload"]) {
      let found = try await upload(store, "large", 40)
      #expect(found == .created)
    }
    // Three keys a page: a, b, large | small.
    try await count(["ListObjectsV2", "ListObjectsV2"]) {
      let found = try await store.list("").count
      #expect(found == 4)
    }
    try await count(["ListObjectsV2", "ListObjectsV2"]) {
      let first = try await store.page(of: "", after: nil)
      let last = try await store.page(of: "", after: first.next)
      #expect([first, last].map { $0.objects.map(\.path) } == [["a", "b", "large"], ["small"]])
      #expect(first.next != nil && last.next == nil)
    }
    // A page that is not wanted is not asked for.
    try await count(["ListObjectsV2"]) {
      let found = try await store.first(of: "")?.path
      #expect(found == "a")
    }
    try await count(["ListObjectsV2"]) {
      let found = try await store.list("", from: "small").map(\.path)
      #expect(found == ["small"])
    }
    try await count([
      "CreateMultipartUpload", "UploadPart", "UploadPart", "UploadPart", "CompleteMultipartUpload", "GetObject", "AbortMultipartUpload",
    ]) {
      let found = try await upload(store, "large", 40)
      #expect(found == .exists)
    }
  }

  @Test func `a lost reply costs one read, and a lost request one more put`() async throws {
    for (fault, operations) in [
      (S3Model.Fault.lostReply, ["PutObject", "GetObject"]), (.lostRequest, ["PutObject", "GetObject", "PutObject"]),
      (.conflict, ["PutObject", "PutObject"]), (.internalErrorAfterwards, ["PutObject", "GetObject"]),
      (.late, ["PutObject", "GetObject", "PutObject", "GetObject"]),
    ] {
      let model = S3Model(faults: [0: fault])
      #expect(try await store(model).putIfAbsent(NewObject(path: "a", bytes: [1])) == .created, "\(fault)")
      #expect(model.operations == operations, "\(fault)")
    }
  }

  @Test func `an outcome that cannot be found out is unknown after a bounded number of requests`() async throws {
    let faults = Dictionary(uniqueKeysWithValues: (0..<1000).map { ($0, S3Model.Fault.lostRequest) })
    let model = S3Model(faults: faults)
    guard case .unknown(let why) = try await store(model).putIfAbsent(NewObject(path: "a", bytes: [1])) else {
      Issue.record("it is known")
      return
    }
    #expect(why.contains("s3://bucket/lake/a") && model.sent.count < 20, "\(why)")
  }

  @Test func `a machine whose clock is ahead aborts no upload that is filled`() async throws {
    let clock = ManualClock(.moves, now: 1_000_000_000_000_000)
    let ahead = ManualClock(.moves, now: 2_000_000_000_000_000)
    let model = S3Model(clock: clock)
    var settings = S3Settings(try S3Location("s3://bucket/lake"))
    settings.partBytes = 4
    let dated = DatedSender(base: model, date: "Mon, 12 Jan 1970 13:46:40 GMT")
    let store = S3ObjectStore(settings, sender: dated, clock: ahead, random: CountingRandom())
    let upload = try await store.upload("u")
    try await upload.append([1, 2, 3, 4, 5])
    #expect(try await store.abortUploads(olderThan: 1_800_000_000) == 0)
    #expect(await upload.finish() == .created)
  }

  @Test func `orphans of the lake are aborted when they are old enough, page by page`() async throws {
    let clock = ManualClock(.moves, now: 1_000_000_000_000_000)
    let model = S3Model(clock: clock)
    var settings = S3Settings(try S3Location("s3://bucket/lake"))
    settings.partBytes = 4
    let store = S3ObjectStore(settings, sender: model, clock: clock, random: CountingRandom())
    settings.location = try S3Location("s3://bucket/lakes")
    let other = S3ObjectStore(settings, sender: model, clock: clock, random: CountingRandom())
    var uploads: [any ObjectUpload] = []
    func begin(_ store: S3ObjectStore, _ count: Int) async throws {
      for number in 0..<count {
        let upload = try await store.upload("u\(number % 3)")
        try await upload.append([1, 2, 3, 4, 5])
        uploads.append(upload)
      }
    }
    try await begin(store, 8)
    try await begin(other, 1)
    clock.advance(by: 3_600_000_000_000)
    try await begin(store, 1)
    #expect(try await store.abortUploads(olderThan: 1_800_000_000) == 8)
    #expect(model.uploadsCount == 2)
    #expect(try await store.abortUploads(olderThan: 1_800_000_000) == 0)
    for upload in uploads { await upload.abandon() }
    #expect(model.uploadsCount == 0)
  }

  @Test func `encryption and checksums are sent with what is made, and the writer's name`() async throws {
    let body = Array("abc".utf8)
    var settings = S3Settings(try S3Location("s3://bucket/lake"))
    settings.encryption = .kms(key: "alias/weir", bucketKey: true)
    let requests = S3Requests(settings, endpoint: "https://s3.eu-central-1.amazonaws.com")
    let put = requests.put("k", body, writer: "w", ifAbsent: true)
    func value(_ request: AWSRequest, _ name: String) -> String? { request.headers.first { $0.name == name }?.value }
    #expect(value(put, "x-amz-checksum-sha256") == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=")
    #expect(value(put, "x-amz-server-side-encryption") == "aws:kms" && value(put, "If-None-Match") == "*")
    #expect(value(put, "x-amz-server-side-encryption-aws-kms-key-id") == "alias/weir")
    #expect(value(put, "x-amz-server-side-encryption-bucket-key-enabled") == "true")
    #expect(value(put, S3Requests.writerHeader) == "w" && put.retries == .whileNotReceived)
    #expect(put.hostPrefix == "bucket." && put.path == "/k")
    let create = requests.createUpload("k", writer: "w")
    #expect(value(create, "x-amz-server-side-encryption") == "aws:kms" && value(create, "x-amz-checksum-algorithm") == "SHA256")
    settings.sendsChecksums = false
    settings.encryption = .s3
    let plain = S3Requests(settings, endpoint: "http://127.0.0.1:9000").put("a b/ü", body, writer: "w", ifAbsent: false)
    #expect(!plain.headers.contains { $0.name.contains("checksum") } && value(plain, "x-amz-server-side-encryption") == "AES256")
    #expect(plain.path == "/bucket/a b/ü" && plain.hostPrefix.isEmpty && plain.retries == .always)
  }

  @Test func `the bucket is in the path where its name or the endpoint asks for it`() throws {
    func isPath(_ address: String, _ endpoint: String, _ given: Bool? = nil) throws -> Bool {
      var settings = S3Settings(try S3Location(address))
      settings.usesPathStyle = given
      return settings.hasPathStyle(at: endpoint)
    }
    #expect(try !isPath("s3://bucket", "https://s3.us-east-1.amazonaws.com"))
    #expect(try !isPath("s3://bucket", "https://s3-fips.dualstack.us-east-1.amazonaws.com:443"))
    #expect(try !isPath("s3://bucket", "https://s3.cn-north-1.amazonaws.com.cn/"))
    #expect(try isPath("s3://my.bucket", "https://s3.us-east-1.amazonaws.com"))
    #expect(try isPath("s3://bucket", "http://localhost:9000"))
    #expect(try isPath("s3://bucket", "https://minio.example.com"))
    #expect(try isPath("s3://bucket", "https://s3.amazonaws.com.example.com"))
    #expect(try !isPath("s3://bucket", "http://localhost:9000", false))
    #expect(try isPath("s3://bucket", "https://s3.amazonaws.com", true))
  }

  @Test func `addresses are read, or refused with a reason`() throws {
    #expect(try S3Location("s3://bucket").description == "s3://bucket")
    for bad in ["s3://-bucket", "s3://bucket-", "s3://bucket./x", "s3://.bucket", "s3://bu..cket", "s3://bu", "s3://bück"] {
      #expect(throws: WeirError.self, "\(bad)") { try S3Location(bad) }
    }
    let (own, other) = ("https://s3.eu-central-1.amazonaws.com", "http://minio:9000")
    for bucket in ["bucket", "my.bucket-1"] { try S3Settings(S3Location("s3://\(bucket)/x")).checkBucket(at: own) }
    for bucket in ["No_Bkt", "1.2.3.4", "a_b", String(repeating: "b", count: 64)] {
      var settings = S3Settings(try S3Location("s3://\(bucket)/x"))
      try settings.checkBucket(at: other)
      let error = #expect(throws: WeirError.self) { try S3Settings(S3Location("s3://\(bucket)/x")).checkBucket(at: own) }
      #expect(error?.message.contains("lower-case letters") == true, "\(bucket)")
      settings.usesPathStyle = true
      try settings.checkBucket(at: own)
    }
    #expect(try S3Location("S3://my.bucket_1//a b/%20/ü//").description == "s3://my.bucket_1/a b/%20/ü")
    let lake = try S3Location("s3://bucket/a")
    #expect(lake.path(ofKey: "a/b/c") == "b/c" && lake.path(ofKey: "ab/c") == nil)
    for text in [
      "s3://", "s3:///a", "s3://ab", "s3://a b c/x", "s3:bucket", "s3://b..c/x", "s3://bucket/\u{1}", "s3://user@bucket/x", "/tmp",
    ] {
      let error = #expect(throws: WeirError.self, "\(text)") { try S3Location(text) }
      #expect(error?.code == .config)
    }
  }

  @Test func `parts grow, so that ten thousand are enough`() {
    let plan = PartPlan(bytes: 8 << 20)
    #expect(plan.bytes(of: 1) == 8 << 20 && plan.bytes(of: 1000) == 8 << 20 && plan.bytes(of: 1001) == 16 << 20)
    #expect((1...PartPlan.partsMax).reduce(0) { $0 + Int64(plan.bytes(of: $1)) } == plan.objectBytesMax)
  }
}

/// A service that says its time.
private struct DatedSender: AWSSender {
  let base: S3Model
  let date: String

  var endpoint: String { base.endpoint }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    var response = try await base.send(request)
    response.headers.append(SignedRequest.Pair("Date", date))
    return response
  }
}
