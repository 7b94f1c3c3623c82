/// Effects come in through the protocols of this file; logic sees nothing else of the world (law 8).
///
/// The engine runs the same under the real adapters and under simulation.

/// Time. `now` is for durations and never goes back; `wall` is for people and file ages.
public protocol Clock: Sendable {
  /// Nanoseconds since some fixed instant of this boot (it counts on while the machine sleeps).
  var monotonicNanoseconds: Int64 { get }
  /// UTC microseconds since 1970.
  var wallMicroseconds: Int64 { get }
  func sleep(nanoseconds: Int64) async
}

/// Randomness: names of attempts, jitter. Never rows.
public protocol RandomSource: Sendable {
  func next() -> UInt64
}

/// A file or object to create.
public struct NewObject: Sendable {
  /// Relative to the store's root, parts separated by "/".
  public var path: String
  /// Its bytes, one piece after the other: large ones are never together in one array.
  public var pieces: [[UInt8]]

  public init(path: String, bytes: [UInt8]) { self.init(path: path, pieces: [bytes]) }

  public init(path: String, pieces: [[UInt8]]) {
    self.path = path
    self.pieces = pieces
  }

  public var bytes: [UInt8] { pieces.count == 1 ? pieces[0] : Array(pieces.joined()) }
}

public struct ObjectInfo: Sendable, Hashable {
  public var path: String
  public var bytes: Int64
  /// UTC microseconds since 1970, by the store's clock.
  public var modifiedMicroseconds: Int64

  public init(path: String, bytes: Int64, modifiedMicroseconds: Int64) {
    self.path = path
    self.bytes = bytes
    self.modifiedMicroseconds = modifiedMicroseconds
  }
}

/// A part of a listing, in the order of the paths' bytes.
public struct ObjectPage: Sendable {
  public var objects: [ObjectInfo]
  /// Where the next page begins, as the store says it; nil: this is the last one.
  public var next: String?

  public init(_ objects: [ObjectInfo], next: String? = nil) { (self.objects, self.next) = (objects, next) }
}

/// The end of a put-if-absent (laws 1 and 2).
public enum PutOutcome: Sendable, Equatable {
  /// This call made the object, durably.
  case created
  /// An object is there; it may be ours, from a try whose reply was lost: read it back.
  case exists
  /// It is unknown whether the object was created (time-out, 5xx). Read it back.
  case unknown(String)
}

/// The lake's store: a directory, a bucket, or a simulation of one.
///
/// Errors are ``WeirError``s; a path that is not there is `get` returning nil and not an error.
public protocol ObjectStore: Sendable {
  /// Creates objects under names that were never used before; durable (bytes and directories) when it returns.
  func write(_ objects: [NewObject]) async throws
  /// Where it is, for errors: a path that any shell understands, an address. Without secrets.
  var place: String { get }
  /// Bytes of a path in it, at most.
  var pathBytesMax: Int { get }
  /// Atomically creates the object unless one is there. The only primitive that correctness rests on.
  func putIfAbsent(_ object: NewObject) async -> PutOutcome
  /// The same for an object that is too large to be in memory at once. It is not there before ``ObjectUpload/finish()``.
  func upload(_ path: String) async throws -> any ObjectUpload
  /// Atomically creates or replaces the object, durably: for hints (`_last_checkpoint`) and the snapshot pointer.
  func replace(_ object: NewObject) async throws
  func get(_ path: String) async throws -> [UInt8]?
  /// `count` bytes from `offset`; nil if the object is not there, fewer bytes if it is shorter.
  func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]?
  /// All objects whose path begins with `prefix`, in order of their paths' bytes.
  func list(_ prefix: String) async throws -> [ObjectInfo]
  /// Those of them whose path is `first` or comes after it. A long list costs neither requests nor memory for what comes before.
  func list(_ prefix: String, from first: String) async throws -> [ObjectInfo]
  /// A part of ``list(_:)``, for listings that may be too long to be in memory at once. An object that is made or deleted between two pages may
  /// be in a later one or not.
  /// - Parameter next: of the page before; nil: the first page.
  func page(of prefix: String, after next: String?) async throws -> ObjectPage
  /// Makes an object that another process created durable, with its directory ("before a worker acts on an entry that it did not write").
  func sync(_ path: String) async throws
  /// Removes the object; a missing object is not an error. Only collection calls this.
  func delete(_ path: String) async throws
  /// Removes what writers left that died: uploads that were begun more than this many microseconds ago and not ended. Only collection calls
  /// this.
  func removeOrphans(olderThan age: Int64) async throws
}

/// An object that is written part by part, and atomically created at the end unless one is there.
public protocol ObjectUpload: Sendable {
  func append(_ bytes: [UInt8]) async throws
  /// Ends as ``ObjectStore/putIfAbsent(_:)`` does.
  func finish() async -> PutOutcome
  /// Removes what was written; nothing happens after ``finish()``.
  func abandon() async
}

extension ObjectStore {
  /// For stores without a bound.
  public var pathBytesMax: Int { .max }

  /// For stores that keep nothing of an upload that was not ended.
  public func removeOrphans(olderThan age: Int64) async throws {}

  /// For stores that have no other way: all are listed.
  public func list(_ prefix: String, from first: String) async throws -> [ObjectInfo] {
    try await list(prefix).filter { !$0.path.utf8.lexicographicallyPrecedes(first.utf8) }
  }

  /// For stores that list everything at once: one page.
  public func page(of prefix: String, after next: String?) async throws -> ObjectPage { ObjectPage(try await list(prefix)) }

  /// The first object of ``list(_:)``; nil: there is none. Only the pages up to it are asked for.
  public func first(of prefix: String) async throws -> ObjectInfo? {
    var page = try await page(of: prefix, after: nil)
    while page.objects.isEmpty, let next = page.next { page = try await self.page(of: prefix, after: next) }
    return page.objects.first
  }

  /// For stores that have no other way: the parts are collected in memory.
  public func upload(_ path: String) async throws -> any ObjectUpload { CollectedUpload(self, path) }
}

private actor CollectedUpload: ObjectUpload {
  private let store: any ObjectStore
  private let path: String
  /// nil: it is over.
  private var bytes: [UInt8]? = []

  init(_ store: any ObjectStore, _ path: String) { (self.store, self.path) = (store, path) }

  private var closed: WeirError { WeirError(.internal, "\(path) was already completed or cancelled") }

  func append(_ bytes: [UInt8]) async throws {
    guard self.bytes != nil else { throw closed }
    self.bytes? += bytes
  }

  func finish() async -> PutOutcome {
    guard let bytes else { return .unknown("\(closed)") }
    self.bytes = nil
    return await store.putIfAbsent(NewObject(path: path, bytes: bytes))
  }

  func abandon() async { bytes = nil }
}
