import Testing
import WeirAWS
import WeirCore
import WeirS3
import WeirS3Settings
import WeirTesting

@Suite struct StoreCheckTests {
  private func findings(_ flaws: S3Model.Flaws) async throws -> (found: [StoreCheck.Finding], left: Int, uploads: Int) {
    let model = S3Model(flaws: flaws)
    var settings = S3Settings(try S3Location("s3://bucket/lake"))
    settings.partBytes = 16
    let store = S3ObjectStore(settings, sender: model, clock: ManualClock(.moves), random: CountingRandom())
    let found = await StoreCheck(store, random: CountingRandom(), uploadBytes: 40).run()
    return (found, model.objects.count, model.uploadsCount)
  }

  @Test(arguments: [S3Model.Flaws](arrayLiteral: [], .ignoresRanges, .listsPlainKeys))
  func `a store that keeps conditions passes, and nothing is left in it`(flaws: S3Model.Flaws) async throws {
    let (found, left, uploads) = try await findings(flaws)
    #expect(found.count == 5 && found.allSatisfy { $0.problem == nil }, "\(found)")
    #expect(left == 0 && uploads == 0)
  }

  @Test(arguments: [
    (S3Model.Flaws.ignoresConditions, 0), (.checksConditionsEarly, 1), (.ignoresConditionsOfUploads, 2), (.listsNothing, 3),
  ]) func `a store that lets two writers win is refused, and the right line says so`(flaws: S3Model.Flaws, line: Int) async throws {
    let (found, _, _) = try await findings(flaws)
    #expect(found[line].problem != nil, "\(found)")
    #expect(found.prefix(line).allSatisfy { $0.problem == nil }, "\(found)")
  }

  @Test func `a store in memory passes`() async {
    let found = await StoreCheck(MemoryStore(), random: CountingRandom(), uploadBytes: 40).run()
    #expect(found.allSatisfy { $0.problem == nil }, "\(found)")
  }

  @Test func `each line is reported when it is known`() async throws {
    let model = S3Model()
    let store = S3ObjectStore(
      S3Settings(try S3Location("s3://bucket/lake")), sender: model, clock: ManualClock(.moves), random: CountingRandom())
    var objects: [Int] = []
    let found = await StoreCheck(store, random: CountingRandom(), uploadBytes: 40).run { _ in objects.append(model.objects.count) }
    // The first line comes when there is one object, and no line when all are removed.
    #expect(found.count == 5 && objects.first == 1 && objects.count == 5 && !objects.contains(0), "\(objects)")
  }

  @Test func `a bucket that is not there is one line, which says what to do`() async throws {
    let store = S3ObjectStore(
      S3Settings(try S3Location("s3://other")), sender: S3Model(), clock: ManualClock(.moves), random: CountingRandom())
    let found = await StoreCheck(store, random: CountingRandom(), uploadBytes: 40).run()
    #expect(found.count == 1 && found[0].problem?.contains("Create the bucket") == true, "\(found)")
  }
}
