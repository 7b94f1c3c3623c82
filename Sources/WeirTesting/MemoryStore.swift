import Synchronization
import WeirCore

/// An object store in memory.
public final class MemoryStore: ObjectStore {
  private let objects: Mutex<[String: [UInt8]]>

  public let place = "memory"

  public init(_ objects: [String: [UInt8]] = [:]) { self.objects = Mutex(objects) }

  public var all: [String: [UInt8]] { objects.withLock { $0 } }

  public func write(_ new: [NewObject]) async throws { objects.withLock { for object in new { $0[object.path] = object.bytes } } }

  public func putIfAbsent(_ object: NewObject) async -> PutOutcome {
    objects.withLock {
      if $0[object.path] != nil { return .exists }
      $0[object.path] = object.bytes
      return .created
    }
  }

  public func replace(_ object: NewObject) async throws { objects.withLock { $0[object.path] = object.bytes } }

  public func get(_ path: String) async throws -> [UInt8]? { objects.withLock { $0[path] } }

  public func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    objects.withLock { $0[path].map { Array($0.dropFirst(Int(offset)).prefix(count)) } }
  }

  public func list(_ prefix: String) async throws -> [ObjectInfo] {
    objects.withLock { objects in
      objects.keys.filter { $0.hasPrefix(prefix) }.sorted().map {
        ObjectInfo(path: $0, bytes: Int64(objects[$0]?.count ?? 0), modifiedMicroseconds: 0)
      }
    }
  }

  public func sync(_ path: String) async throws {}

  public func delete(_ path: String) async throws { objects.withLock { $0[path] = nil } }
}
