import Synchronization
import WeirCore

/// An object store in memory.
public final class MemoryStore: ObjectStore {
  /// By the path's bytes: Strings that are canonically equivalent are equal, and yet two paths.
  private let objects: Mutex<[[UInt8]: [UInt8]]>

  public let place = "memory"

  public init(_ objects: [String: [UInt8]] = [:]) {
    self.objects = Mutex(Dictionary(uniqueKeysWithValues: objects.map { (Array($0.key.utf8), $0.value) }))
  }

  public var all: [String: [UInt8]] {
    objects.withLock { Dictionary($0.map { (String(decoding: $0.key, as: UTF8.self), $0.value) }) { first, _ in first } }
  }

  public func write(_ new: [NewObject]) async throws {
    objects.withLock { for object in new { $0[Array(object.path.utf8)] = object.bytes } }
  }

  public func putIfAbsent(_ object: NewObject) async -> PutOutcome {
    objects.withLock {
      let path = Array(object.path.utf8)
      if $0[path] != nil { return .exists }
      $0[path] = object.bytes
      return .created
    }
  }

  public func replace(_ object: NewObject) async throws { objects.withLock { $0[Array(object.path.utf8)] = object.bytes } }

  public func get(_ path: String) async throws -> [UInt8]? { objects.withLock { $0[Array(path.utf8)] } }

  public func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    objects.withLock { $0[Array(path.utf8)].map { Array($0.dropFirst(Int(offset)).prefix(count)) } }
  }

  public func list(_ prefix: String) async throws -> [ObjectInfo] {
    objects.withLock { objects in
      objects.filter { $0.key.starts(with: prefix.utf8) }.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map {
        ObjectInfo(path: String(decoding: $0.key, as: UTF8.self), bytes: Int64($0.value.count), modifiedMicroseconds: 0)
      }
    }
  }

  public func sync(_ path: String) async throws {}

  public func delete(_ path: String) async throws { objects.withLock { $0[Array(path.utf8)] = nil } }
}
