import Synchronization
import WeirCore
import WeirTesting

/// A store whose objects have times of its own clock.
final class DatedStore: ObjectStore {
  private let base = MemoryStore()
  private let times = Mutex<[String: Int64]>([:])
  private let clock: any Clock

  init(_ clock: any Clock) { self.clock = clock }

  var place: String { base.place }

  private func stamp(_ path: String) {
    let now = clock.wallMicroseconds
    times.withLock { $0[path] = now }
  }

  func write(_ objects: [NewObject]) async throws {
    try await base.write(objects)
    for object in objects { stamp(object.path) }
  }

  func putIfAbsent(_ object: NewObject) async -> PutOutcome {
    let outcome = await base.putIfAbsent(object)
    if outcome == .created { stamp(object.path) }
    return outcome
  }

  func replace(_ object: NewObject) async throws {
    try await base.replace(object)
    stamp(object.path)
  }

  func list(_ prefix: String) async throws -> [ObjectInfo] {
    try await base.list(prefix).map { info in
      ObjectInfo(path: info.path, bytes: info.bytes, modifiedMicroseconds: times.withLock { $0[info.path] ?? 0 })
    }
  }

  func get(_ path: String) async throws -> [UInt8]? { try await base.get(path) }
  func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    try await base.get(path, offset: offset, count: count)
  }
  func sync(_ path: String) async throws {}
  func delete(_ path: String) async throws { try await base.delete(path) }
}
