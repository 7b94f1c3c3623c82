import Foundation
import Testing
import WeirCore
import WeirLocal
import WeirS3
import WeirS3Settings
import WeirTesting

/// All kinds of object stores do the same.
@Suite struct ConformanceTests {
  private typealias Suite = ObjectStoreConformance

  private func store(_ model: S3Model, _ address: String, _ change: (inout S3Settings) -> Void = { _ in }) throws -> S3ObjectStore {
    var settings = S3Settings(try S3Location(address))
    settings.partBytes = 16
    change(&settings)
    return S3ObjectStore(settings, sender: model, clock: ManualClock(.moves), random: CountingRandom())
  }

  @Test(arguments: ObjectStoreConformance.cases) func `S3 does as every object store`(aCase: ObjectStoreConformance.Case) async throws {
    let model = S3Model()
    try await aCase.run(on: try store(model, "s3://bucket/a lake/ü=1+2%"), partBytes: 16)
    #expect(model.uploadsCount == 0)
    #expect(model.objects.keys.allSatisfy { $0.hasPrefix("a lake/ü=1+2%/") })
  }

  @Test(arguments: ObjectStoreConformance.cases)
  func `a whole bucket, in virtual-host style, without checksums, does as every object store`(aCase: ObjectStoreConformance.Case)
    async throws
  {
    let model = S3Model(endpoint: "https://s3.eu-central-1.amazonaws.com", pageMax: 1000)
    try await aCase.run(on: try store(model, "s3://bucket") { $0.sendsChecksums = false }, partBytes: 16)
  }

  @Test(arguments: ObjectStoreConformance.cases)
  func `stores that ignore ranges, list plain keys or drop metadata do as well`(aCase: ObjectStoreConformance.Case) async throws {
    let model = S3Model(flaws: [.ignoresRanges, .listsPlainKeys, .dropsMetadata])
    try await aCase.run(on: try store(model, "s3://bucket/lake"), partBytes: 16)
  }

  @Test(arguments: ObjectStoreConformance.cases) func `a directory does as every object store`(aCase: ObjectStoreConformance.Case)
    async throws
  {
    let folder = NSTemporaryDirectory() + "weir-store-" + UUID().uuidString
    let threads = BlockingThreads(count: 2)
    defer {
      threads.stop()
      try? FileManager.default.removeItem(atPath: folder)
    }
    try await aCase.run(on: LocalObjectStore(root: folder, threads: threads, random: SystemRandom()), partBytes: 16)
  }

  @Test(arguments: ObjectStoreConformance.cases) func `a store in memory does as every object store`(aCase: ObjectStoreConformance.Case)
    async throws
  {
    try await aCase.run(on: MemoryStore(), partBytes: 16)
  }
}
