import WeirCore

/// A request to an object store.
public enum StoreRequest: Sendable, Hashable {
  case write([String])
  /// A put-if-absent, or the end of an upload.
  case put(String)
  /// A part of an upload.
  case append(String)
  case replace(String)
  case get(String)
  case list(String)
  case sync(String)
  case delete(String)

  /// Makes a new object.
  public var isWrite: Bool {
    switch self {
    case .write, .put: true
    default: false
    }
  }
}

/// Another store, whose requests the test sees, delays or lets fail.
public struct InterceptedStore: ObjectStore {
  private let base: any ObjectStore
  private let before: @Sendable (StoreRequest) async throws -> Void
  private let after: @Sendable (StoreRequest, Int) -> Void

  /// - Parameters:
  ///   - before: called before a request is sent. If it throws, the request is lost: of a put the outcome is unknown.
  ///   - after: called after a request that succeeded, with the bytes that it read or wrote; of a listing, the objects. A put succeeds if
  ///     it created the object.
  public init(
    _ base: any ObjectStore, before: @escaping @Sendable (StoreRequest) async throws -> Void = { _ in },
    after: @escaping @Sendable (StoreRequest, Int) -> Void = { _, _ in }
  ) {
    (self.base, self.before, self.after) = (base, before, after)
  }

  public var place: String { base.place }

  public func write(_ objects: [NewObject]) async throws {
    let request = StoreRequest.write(objects.map(\.path))
    try await before(request)
    try await base.write(objects)
    after(request, objects.reduce(0) { $0 + $1.bytes.count })
  }

  public func putIfAbsent(_ object: NewObject) async -> PutOutcome {
    if let lost = await lostPut(object.path) { return lost }
    return put(object.path, object.bytes.count, await base.putIfAbsent(object))
  }

  fileprivate func lostPut(_ path: String) async -> PutOutcome? {
    do {
      try await before(.put(path))
      return nil
    } catch { return .unknown("\(error)") }
  }

  fileprivate func put(_ path: String, _ bytes: Int, _ outcome: PutOutcome) -> PutOutcome {
    if outcome == .created { after(.put(path), bytes) }
    return outcome
  }

  public func upload(_ path: String) async throws -> any ObjectUpload { InterceptedUpload(self, path, try await base.upload(path)) }

  fileprivate func append(_ path: String, _ bytes: [UInt8], to upload: any ObjectUpload) async throws {
    try await before(.append(path))
    try await upload.append(bytes)
    after(.append(path), bytes.count)
  }

  public func replace(_ object: NewObject) async throws {
    try await before(.replace(object.path))
    try await base.replace(object)
    after(.replace(object.path), object.bytes.count)
  }

  public func get(_ path: String) async throws -> [UInt8]? {
    try await before(.get(path))
    let bytes = try await base.get(path)
    after(.get(path), bytes?.count ?? 0)
    return bytes
  }

  public func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    try await before(.get(path))
    let bytes = try await base.get(path, offset: offset, count: count)
    after(.get(path), bytes?.count ?? 0)
    return bytes
  }

  public func list(_ prefix: String) async throws -> [ObjectInfo] { try await list(prefix, from: "") }

  public func list(_ prefix: String, from first: String) async throws -> [ObjectInfo] {
    try await before(.list(prefix))
    let found = try await base.list(prefix, from: first)
    after(.list(prefix), found.count)
    return found
  }

  public func page(of prefix: String, after next: String?) async throws -> ObjectPage {
    try await before(.list(prefix))
    let page = try await base.page(of: prefix, after: next)
    after(.list(prefix), page.objects.count)
    return page
  }

  public func sync(_ path: String) async throws {
    try await before(.sync(path))
    try await base.sync(path)
    after(.sync(path), 0)
  }

  public func delete(_ path: String) async throws {
    try await before(.delete(path))
    try await base.delete(path)
    after(.delete(path), 0)
  }

  public func removeOrphans(olderThan age: Int64) async throws { try await base.removeOrphans(olderThan: age) }
}

private actor InterceptedUpload: ObjectUpload {
  private let store: InterceptedStore
  private let path: String
  private let base: any ObjectUpload
  private var bytes = 0

  init(_ store: InterceptedStore, _ path: String, _ base: any ObjectUpload) { (self.store, self.path, self.base) = (store, path, base) }

  func append(_ bytes: [UInt8]) async throws {
    try await store.append(path, bytes, to: base)
    self.bytes += bytes.count
  }

  func finish() async -> PutOutcome {
    if let lost = await store.lostPut(path) { return lost }
    return store.put(path, bytes, await base.finish())
  }

  func abandon() async { await base.abandon() }
}
