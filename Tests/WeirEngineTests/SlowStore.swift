import WeirCore

/// Where requests wait while it is shut.
actor StoreGate {
  private var isShut = false
  private var requests: [CheckedContinuation<Void, Never>] = []

  private var watchers: [CheckedContinuation<Void, Never>] = []

  /// Waits until a request waits here.
  func whenSomebodyWaits() async { if requests.isEmpty { await withCheckedContinuation { watchers.append($0) } } }

  func shut() { isShut = true }

  func pass() async {
    guard isShut else { return }
    await withCheckedContinuation { request in
      requests.append(request)
      for watcher in watchers { watcher.resume() }
      watchers = []
    }
  }

  /// Lets all through, for good.
  func open() {
    isShut = false
    for request in requests { request.resume() }
    requests = []
  }
}

/// A lake whose writes take their time, or hang at a gate.
struct SlowStore: ObjectStore {
  let base: any ObjectStore
  var gate: StoreGate?
  var delayNanoseconds: UInt64 = 0

  var place: String { base.place }

  private func rest() async {
    if delayNanoseconds > 0 { try? await Task.sleep(nanoseconds: delayNanoseconds) }
    await gate?.pass()
  }

  func write(_ objects: [NewObject]) async throws {
    await rest()
    try await base.write(objects)
  }

  func putIfAbsent(_ object: NewObject) async -> PutOutcome {
    await rest()
    return await base.putIfAbsent(object)
  }

  func replace(_ object: NewObject) async throws { try await base.replace(object) }
  func get(_ path: String) async throws -> [UInt8]? { try await base.get(path) }
  func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    try await base.get(path, offset: offset, count: count)
  }
  func list(_ prefix: String) async throws -> [ObjectInfo] { try await base.list(prefix) }
  func sync(_ path: String) async throws { try await base.sync(path) }
  func delete(_ path: String) async throws { try await base.delete(path) }
}
