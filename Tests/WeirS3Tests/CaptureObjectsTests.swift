import Testing
import WeirAWS
import WeirCore
import WeirS3Settings
import WeirTesting

@testable import WeirS3

/// Objects below a prefix as a capture: which, in which order, and their bytes with faults.
@Suite struct CaptureObjectsTests {
  private func objects(_ model: S3Model, _ address: String) throws -> S3CaptureObjects {
    S3CaptureObjects(
      S3Settings(try S3Location(objects: address)), isFolder: address.hasSuffix("/"), sender: model, clock: ManualClock(.moves),
      random: CountingRandom())
  }

  private func put(_ model: S3Model, _ keys: [String]) async throws {
    let store = S3ObjectStore(
      S3Settings(try S3Location("s3://bucket")), sender: model, clock: ManualClock(.moves), random: CountingRandom())
    for key in keys { try await store.write([NewObject(path: key, bytes: Array(key.utf8))]) }
    model.forget()
  }

  private static let below = ["in/a b", "in/a%20b", "in/a+b", "in/a=b", "in/Z", "in/z/1", "in/z/10", "in/z/2", "in/é", "in/ü/東京"]

  @Test func objectsBelowAPrefixAreInTheOrderOfTheirKeysBytes() async throws {
    let model = S3Model()
    try await put(model, CaptureObjectsTests.below + ["in", "in-other/x", "im", "io/x"])
    let sorted = CaptureObjectsTests.below.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    #expect(try await objects(model, "s3://bucket/in").list().map(\.key) == ["in"] + sorted)
    #expect(try await objects(model, "s3://bucket/in/").list().map(\.key) == sorted)
    #expect(try await objects(model, "s3://bucket/in/z").list().map(\.key) == ["in/z/1", "in/z/10", "in/z/2"])
    #expect(try await objects(model, "s3://bucket/none").list().isEmpty)
  }

  @Test func `keys may begin with a slash and contain empty parts`() async throws {
    let model = S3Model()
    let keys = ["/in", "/in/a", "/in//b", "in", "in//c", "in//c//d", "in/c"]
    try await put(model, keys)
    #expect(try await objects(model, "s3://bucket//in").list().map(\.key) == ["/in", "/in//b", "/in/a"])
    #expect(try await objects(model, "s3://bucket/in/").list().map(\.key) == ["in//c", "in//c//d", "in/c"])
    #expect(try await objects(model, "s3://bucket/in//").list().map(\.key) == ["in//c", "in//c//d"])
    let one = try objects(model, "s3://bucket//in//b")
    let found = try #require(try await one.find())
    #expect(found.key == "/in//b" && one.address(of: found.key) == "s3://bucket//in//b")
    #expect(try await one.read(found, 0..<6) == .bytes(Array("/in//b".utf8)))
    // A lake's prefix is what it always was.
    #expect(try S3Location("s3://bucket//lake//").prefix == "lake")
  }

  @Test(arguments: [S3Model.Fault.slowDown, .lostRequest, .lostReply, .truncatedBody, .internalError])
  func aRangeIsReadAgainWhenItsAnswerIsLostOrCutShort(fault: S3Model.Fault) async throws {
    let model = S3Model()
    try await put(model, ["in/some key"])
    let all = try objects(model, "s3://bucket/in")
    let object = try #require(try await all.list().first)
    model.forget()
    model.plan([0: fault])
    #expect(try await all.read(object, 3..<7) == .bytes(Array("some".utf8)))
    #expect(model.operations == ["GetObject", "GetObject"])
  }

  @Test func anObjectThatIsNoLongerTheListedOneIsNotRead() async throws {
    let model = S3Model()
    try await put(model, ["in/key"])
    let all = try objects(model, "s3://bucket/in")
    let object = try #require(try await all.list().first)
    let store = S3ObjectStore(
      S3Settings(try S3Location("s3://bucket")), sender: model, clock: ManualClock(.moves), random: CountingRandom())
    try await store.replace(NewObject(path: "in/key", bytes: Array("other!".utf8)))
    for range in [Int64(0)..<6, 2..<4] {
      guard case .changed = try await all.read(object, range) else {
        Issue.record("bytes of another object were read")
        continue
      }
    }
    try await store.delete("in/key")
    guard case .changed(let why) = try await all.read(object, 0..<6) else {
      Issue.record("a removed object was read")
      return
    }
    #expect(why.contains("removed"))
  }

  @Test func aStoreThatIgnoresRangesHasTheSameBytes() async throws {
    let model = S3Model(flaws: [.ignoresRanges])
    try await put(model, ["in/some key"])
    let all = try objects(model, "s3://bucket/in")
    let object = try #require(try await all.list().first)
    #expect(try await all.read(object, 3..<7) == .bytes(Array("some".utf8)))
  }
}
