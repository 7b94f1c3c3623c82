import Testing
import WeirAWS
import WeirCore
import WeirS3Settings
import WeirTesting

@testable import WeirS3

/// Two workers write to one bucket while requests and replies are lost: nothing is lost, and none of them wins what the other has.
@Suite struct FaultTests {
  /// What the work of both workers must leave.
  private static let written: [String: String] = [
    "d/1": "one", "d/2": "two", "d/3": String(repeating: "three ", count: 8), "hint": "newer", "small": "small upload",
    "large": String(repeating: "large upload ", count: 5),
  ]

  private struct Work: Sendable {
    let model: S3Model
    let a: S3ObjectStore
    let b: S3ObjectStore

    /// - Parameter sums: checksums are sent, which takes most of the time.
    init(_ faults: [Int: S3Model.Fault], sums: Bool = true) throws {
      model = S3Model(faults: faults)
      var settings = S3Settings(try S3Location("s3://bucket/lake"))
      settings.partBytes = 16
      settings.sendsChecksums = sums
      let random = CountingRandom()
      a = S3ObjectStore(settings, sender: model, clock: ManualClock(.moves), random: random)
      b = S3ObjectStore(settings, sender: model, clock: ManualClock(.moves), random: random)
    }

    /// A call that fails is repeated, as the engine does; its error must say what to do.
    func repeated<T: Sendable>(_ call: @Sendable () async throws -> T) async throws -> T {
      for _ in 0..<4 {
        do { return try await call() } catch let error as WeirError {
          #expect(error.code == .storage && error.isRetriable && error.advice != nil, "\(error)")
          #expect(error.message.contains("s3://bucket/lake"), "\(error)")
        }
      }
      Issue.record("four calls failed")
      throw CancellationError()
    }

    /// A commit: put, read back, put the same bytes again. Whether it is ours.
    func commit(_ path: String, _ text: String, _ put: @Sendable () async throws -> PutOutcome) async throws -> Bool {
      for _ in 0..<6 {
        let outcome = try await repeated(put)
        let found = try await repeated { try await a.get(path) }
        if outcome == .created { #expect(found == Array(text.utf8), "\(path) was created, and is another's") }
        if outcome == .exists { #expect(found != nil, "\(path) is said to be there") }
        if let found { return found == Array(text.utf8) }
      }
      Issue.record("six puts of \(path) came to nothing")
      return false
    }

    func upload(_ store: S3ObjectStore, _ path: String, _ text: String) async throws -> PutOutcome {
      let upload = try await store.upload(path)
      do {
        for piece in stride(from: 0, to: text.utf8.count, by: 7) { try await upload.append(Array(text.utf8.dropFirst(piece).prefix(7))) }
      } catch {
        await upload.abandon()
        throw error
      }
      return await upload.finish()
    }

    func run() async throws {
      for (store, name) in [(a, "a"), (b, "b")] {
        _ = try await commit("lock", name) { await store.putIfAbsent(NewObject(path: "lock", bytes: Array(name.utf8))) }
      }
      try await race("race") { store, text in await store.putIfAbsent(NewObject(path: "race", bytes: Array(text.utf8))) }
      try await race("race of uploads, which are longer than one part") { store, text in
        try await upload(store, "race of uploads, which are longer than one part", text)
      }
      let new = ["d/1", "d/2", "d/3"].map { NewObject(path: $0, bytes: Array((FaultTests.written[$0] ?? "").utf8)) }
      try await repeated { try await a.write(new) }
      for text in ["old", "newer"] { try await repeated { try await a.replace(NewObject(path: "hint", bytes: Array(text.utf8))) } }
      for path in ["small", "large"] {
        let text = FaultTests.written[path] ?? ""
        let isOurs = try await commit(path, text) { try await upload(a, path, text) }
        #expect(isOurs, "\(path)")
      }
      let abandoned = try await repeated { try await a.upload("abandoned") }
      _ = try? await abandoned.append([UInt8](repeating: 1, count: 40))
      await abandoned.abandon()
      #expect(try await repeated { try await b.get("d/2", offset: 1, count: 9) } == Array("wo".utf8))
      try await repeated { try await b.write([NewObject(path: "gone", bytes: [1])]) }
      try await repeated { try await b.delete("gone") }
    }

    /// Both at once: when both have made sure, one has it.
    private func race(_ path: String, _ put: @escaping @Sendable (S3ObjectStore, String) async throws -> PutOutcome) async throws {
      let texts = ["a: \(path)", "b: \(path)"]
      async let first = commit(path, texts[0]) { try await put(a, texts[0]) }
      async let second = commit(path, texts[1]) { try await put(b, texts[1]) }
      let winners = try await [first, second]
      #expect(winners.filter { $0 }.count == 1, "\(path): \(winners)")
    }

    /// What is there when all requests have arrived.
    func check() async throws {
      model.settle()
      model.plan([:])
      var objects = model.objects
      // A request that was late may have come after everything: a replacement of before, a write of what was deleted since.
      objects["lake/gone"] = nil
      if objects["lake/hint"] == Array("old".utf8) { objects["lake/hint"] = Array("newer".utf8) }
      #expect(objects.removeValue(forKey: "lake/lock") == Array("a".utf8))
      for race in ["lake/race", "lake/race of uploads, which are longer than one part"] {
        #expect(objects.removeValue(forKey: race) != nil)
      }
      #expect(objects == Dictionary(uniqueKeysWithValues: FaultTests.written.map { ("lake/" + $0.key, Array($0.value.utf8)) }))
      _ = try await a.abortUploads(olderThan: -1)
      #expect(model.uploadsCount == 0)
    }
  }

  private func requests() async throws -> Int {
    let work = try Work([:])
    try await work.run()
    let count = work.model.sent.count
    #expect(work.model.uploadsCount == 0)
    try await work.check()
    return count
  }

  @Test func `each fault of each request ends in the right state, or in an error that says what to do`() async throws {
    for request in stride(from: 0, to: try await requests(), by: Cases.step(debug: 3)) {
      for fault in S3Model.Fault.allCases {
        let work = try Work([request: fault])
        try await work.run()
        try await work.check()
      }
    }
  }

  @Test func `so does a selection of pairs of faults`() async throws {
    let (count, kinds) = (try await requests(), S3Model.Fault.allCases)
    let all = count * count * kinds.count * kinds.count
    for number in stride(from: 0, to: all, by: 37 * Cases.step(debug: 20)) {
      let (first, second) = (number / kinds.count / kinds.count % count, number / kinds.count / kinds.count / count)
      guard first < second else { continue }
      let work = try Work([first: kinds[number % kinds.count], second: kinds[number / kinds.count % kinds.count]], sums: false)
      try await work.run()
      try await work.check()
    }
  }
}
