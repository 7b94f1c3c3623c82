import Synchronization
import WeirCore

/// What every object store does, whatever keeps it: one suite for all kinds.
///
/// Each case begins with an empty store:
///
///     @Test(arguments: ObjectStoreConformance.cases) func aKind(_ aCase: ObjectStoreConformance.Case) async throws {
///       try await aCase.run(on: store, partBytes: 5)
///     }
public enum ObjectStoreConformance {
  /// Something that every object store does.
  public struct Case: Sendable, CustomStringConvertible {
    public let description: String
    private let body: @Sendable (Subject) async throws -> Void

    init(_ description: String, _ body: @escaping @Sendable (Subject) async throws -> Void) {
      (self.description, self.body) = (description, body)
    }

    /// - Parameters:
    ///   - store: empty.
    ///   - partBytes: about as many bytes of an upload are sent at once.
    /// - Throws: ``Failure``, and what the store throws.
    public func run(on store: any ObjectStore, partBytes: Int) async throws {
      try await body(Subject(store: store, partBytes: partBytes))
    }
  }

  /// What a store did not do.
  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  public static let cases = putCases + uploadCases + readCases + listCases
}

extension ObjectStoreConformance {
  struct Subject: Sendable {
    let store: any ObjectStore
    let partBytes: Int

    func expect<T: Equatable>(_ found: T, _ wanted: T, _ what: @autoclosure () -> String) throws {
      guard found == wanted else { throw Failure(description: "\(what()): \(found), not \(wanted)") }
    }

    func put(_ path: String, _ text: String) async -> PutOutcome {
      await store.putIfAbsent(NewObject(path: path, bytes: Array(text.utf8)))
    }

    func text(_ path: String) async throws -> String? { try await store.get(path).map { String(decoding: $0, as: UTF8.self) } }

    func paths(_ prefix: String, from first: String = "") async throws -> [String] {
      try await store.list(prefix, from: first).map(\.path)
    }

    /// Puts of several writers at once; by writer, what its put ended with.
    func race(_ count: Int, _ put: @escaping @Sendable (Int) async throws -> PutOutcome) async throws -> [PutOutcome] {
      try await withThrowingTaskGroup(of: (Int, PutOutcome).self) { group in
        for writer in 0..<count { group.addTask { (writer, try await put(writer)) } }
        var outcomes = [PutOutcome](repeating: .unknown(""), count: count)
        for try await (writer, outcome) in group { outcomes[writer] = outcome }
        return outcomes
      }
    }

    func oneWinner(_ outcomes: [PutOutcome], _ found: [UInt8]?, _ bytes: (Int) -> [UInt8]) throws {
      let winners = outcomes.indices.filter { outcomes[$0] == .created }
      try expect(winners.count, 1, "writers that created the object")
      try expect(outcomes.filter { $0 == .exists }.count, outcomes.count - 1, "writers that found it")
      try expect(found, winners.first.map(bytes), "the object's bytes")
    }
  }

  // MARK: Puts

  static let putCases = [
    Case("of 16 writers that put at once, one creates the object") { subject in
      @Sendable func bytes(_ writer: Int) -> [UInt8] { Array("writer \(writer)".utf8) }
      for path in ["a", "b/c", "b/ü d=1+%"] {
        let outcomes = try await subject.race(16) { await subject.store.putIfAbsent(NewObject(path: path, bytes: bytes($0))) }
        try subject.oneWinner(outcomes, try await subject.store.get(path), bytes)
      }
    },
    Case("of 16 writers of the same bytes, one creates the object") { subject in
      let outcomes = try await subject.race(16) { _ in await subject.put("same", "x") }
      try subject.oneWinner(outcomes, try await subject.store.get("same")) { _ in Array("x".utf8) }
    },
    Case("an object that is there stays as it is") { subject in
      try subject.expect(await subject.put("a", "first"), .created, "the first put")
      try subject.expect(await subject.put("a", "second"), .exists, "the second put")
      try subject.expect(await subject.put("a", "first"), .exists, "the third put")
      try subject.expect(try await subject.text("a"), "first", "the object")
      try subject.expect(await subject.put("empty", ""), .created, "an empty object")
      try subject.expect(await subject.put("empty", "x"), .exists, "another one in its place")
      try subject.expect(try await subject.text("empty"), "", "the empty object")
    },
    Case("objects that are written together can be read") { subject in
      let objects = (0..<20).map { i in
        NewObject(path: "d\(i % 3)/f\(i)", pieces: (0..<i).map { [UInt8](repeating: UInt8($0), count: i * 3 + subject.partBytes / 4) })
      }
      try await subject.store.write(objects)
      for object in objects { try subject.expect(try await subject.store.get(object.path), object.bytes, object.path) }
      try subject.expect(try await subject.store.list("").count, objects.count, "objects")
    },
    Case("an object can be replaced, and made so") { subject in
      for text in ["one", "", "three"] {
        try await subject.store.replace(NewObject(path: "d/hint", bytes: Array(text.utf8)))
        try subject.expect(try await subject.text("d/hint"), text, "the object")
      }
    },
    Case("a deleted object is gone, and its path is free") { subject in
      try await subject.store.delete("never/there")
      _ = await subject.put("d/a", "1")
      _ = await subject.put("d/b", "2")
      try await subject.store.sync("d/a")
      try await subject.store.delete("d/a")
      try subject.expect(try await subject.text("d/a"), nil, "the object")
      try subject.expect(try await subject.paths(""), ["d/b"], "objects")
      try await subject.store.delete("d/a")
      try subject.expect(await subject.put("d/a", "3"), .created, "a new one")
      try subject.expect(try await subject.text("d/a"), "3", "the new object")
    },
    Case("paths are texts, whatever is in them") { subject in
      let paths = [
        "a b", "a+b", "a%20b", "a%2Bb", "a=1/b=ä", "a..b", "..a/b", "a&b<c>\"'", "日本/😀", "a;b,c:d@e?f#g", "~a!*()$", "e\u{301}", "é",
      ]
      for path in paths { try subject.expect(await subject.put(path, path), .created, path) }
      for path in paths { try subject.expect(try await subject.text(path).map { Array($0.utf8) }, Array(path.utf8), path) }
      let sorted = paths.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
      try subject.expect(try await subject.paths("").map { Array($0.utf8) }, sorted, "the listing")
      for path in paths {
        try await subject.store.delete(path)
        try subject.expect(try await subject.store.get(path), nil, path)
      }
    },
  ]

  // MARK: Uploads

  static let uploadCases = [
    Case("an upload is there when it is finished, with all its parts in order") { subject in
      for (number, size) in [0, 1, subject.partBytes, subject.partBytes + 1, subject.partBytes * 7 + 3].enumerated() {
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 / 251) }
        let upload = try await subject.store.upload("u/\(number)")
        var at = 0
        while at < size {
          let count = min(size - at, subject.partBytes * 2 / 3 + 1)
          try await upload.append(Array(bytes[at..<at + count]))
          at += count
        }
        try subject.expect(try await subject.store.get("u/\(number)"), nil, "the object before")
        try subject.expect(await upload.finish(), .created, "the upload")
        try subject.expect(try await subject.store.get("u/\(number)"), bytes, "the object of \(size) bytes")
        await upload.abandon()
        try subject.expect(try await subject.store.get("u/\(number)")?.count, size, "the object after a late cancellation")
      }
    },
    Case("an upload keeps what is there") { subject in
      for size in [1, subject.partBytes * 3] {
        _ = await subject.put("u\(size)", "first")
        let upload = try await subject.store.upload("u\(size)")
        try await upload.append([UInt8](repeating: 7, count: size))
        try subject.expect(await upload.finish(), .exists, "the upload")
        try subject.expect(try await subject.text("u\(size)"), "first", "the object")
      }
    },
    Case("an abandoned upload leaves nothing") { subject in
      let upload = try await subject.store.upload("d/u")
      try await upload.append([UInt8](repeating: 7, count: subject.partBytes * 6))
      await upload.abandon()
      try subject.expect(try await subject.store.get("d/u"), nil, "the object")
      try subject.expect(try await subject.paths(""), [], "objects")
      var error: (any Error)?
      do { try await upload.append([1]) } catch let failure { error = failure }
      try subject.expect(error == nil, false, "bytes for an upload that is over are refused")
      if case .unknown = await upload.finish() { return }
      throw Failure(description: "an abandoned upload was finished")
    },
    Case("of eight uploads at once, one creates the object") { subject in
      @Sendable func bytes(_ writer: Int) -> [UInt8] { [UInt8](repeating: UInt8(writer), count: subject.partBytes * 3) }
      let outcomes = try await subject.race(8) { writer in
        let upload = try await subject.store.upload("u")
        try await upload.append(bytes(writer))
        return await upload.finish()
      }
      try subject.oneWinner(outcomes, try await subject.store.get("u"), bytes)
    },
  ]

  // MARK: Reads

  static let readCases = [
    Case("what is not there is nil") { subject in
      _ = await subject.put("d/a", "x")
      for path in ["a", "d/a/b", "d/ab", "D/a"] {
        try subject.expect(try await subject.store.get(path), nil, path)
        try subject.expect(try await subject.store.get(path, offset: 0, count: 1), nil, path)
      }
    },
    Case("a part of an object is its bytes there, fewer at the end") { subject in
      let bytes = Array("0123456789".utf8)
      _ = await subject.put("a", "0123456789")
      _ = await subject.put("empty", "")
      for offset in 0...12 {
        for count in 0...12 {
          let wanted = Array(bytes.dropFirst(offset).prefix(count))
          try subject.expect(try await subject.store.get("a", offset: Int64(offset), count: count), wanted, "\(count) from \(offset)")
        }
      }
      try subject.expect(try await subject.store.get("empty", offset: 0, count: 5), [], "of an empty object")
      try subject.expect(try await subject.store.get("a", offset: 1 << 40, count: 1), [], "far beyond")
      try subject.expect(try await subject.store.get("a", offset: 3, count: 1 << 40), Array(bytes[3...]), "very many")
    },
  ]

  // MARK: Listings

  /// UTF-16 has some of these in another order, and none is a directory of another.
  private static let names = [
    "a b", "a!", "a-b", "a.b", "a/b/c", "a0", "aa", "b/0001", "b/0002", "b/0010", "b/0100", "b1", "z", "\u{FFFD}", "\u{1F600}", "ä",
  ]

  static let listCases = [
    Case("a listing is in order of the paths' bytes") { subject in
      for name in names.reversed() { _ = await subject.put(name, name) }
      let sorted = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      try subject.expect(try await subject.paths(""), sorted, "all")
      let infos = try await subject.store.list("")
      try subject.expect(infos.map(\.bytes), sorted.map { Int64($0.utf8.count) }, "sizes")
      for prefix in ["a", "b/", "b/00", "b/0010", "b", "c", "b/0010x", "z"] {
        try subject.expect(try await subject.paths(prefix), sorted.filter { $0.hasPrefix(prefix) }, "below \(prefix)")
      }
    },
    Case("the pages of a listing are the listing, and its first object is the first of them") { subject in
      for name in names { _ = await subject.put(name, name) }
      for prefix in ["", "a", "b/", "z"] {
        let whole = try await subject.store.list(prefix)
        var (found, next): ([ObjectInfo], String?) = ([], nil)
        repeat {
          let page = try await subject.store.page(of: prefix, after: next)
          found += page.objects
          next = page.next
        } while next != nil
        try subject.expect(found, whole, "pages below \(prefix)")
        try subject.expect(try await subject.store.first(of: prefix), whole.first, "first below \(prefix)")
      }
    },
    Case("a listing begins with the path that it is asked for, or the one after it") { subject in
      for name in names { _ = await subject.put(name, "") }
      let sorted = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      for first in names + ["", "a", "b/0003", "b/0009", "b/", "b/0100x", "c", "zz", "\u{10FFFF}"] {
        for prefix in ["", "a", "b/"] {
          let wanted = sorted.filter { $0.hasPrefix(prefix) && !$0.utf8.lexicographicallyPrecedes(first.utf8) }
          try subject.expect(try await subject.paths(prefix, from: first), wanted, "below \(prefix) from \(first)")
        }
      }
    },
    Case("a store without objects has empty listings") { subject in
      try subject.expect(try await subject.paths(""), [], "all")
      try subject.expect(try await subject.paths("a/b", from: "a/b/c"), [], "some")
    },
  ]
}
