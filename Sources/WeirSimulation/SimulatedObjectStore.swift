import WeirCore
import WeirTesting

/// A directory or bucket with the faults of both.
///
/// - A request may be lost, its reply may be lost, or it may land long after its sender gave up.
/// - A put-if-absent is visible before it is durable; what was not synced may vanish when the machine crashes.
/// - Deletes, replaces and writes are atomic per object; a write of several may stop halfway.
///
/// `@unchecked Sendable`: see ``World``.
package final class SimulatedObjectStore: @unchecked Sendable {
  struct Object {
    var bytes: [UInt8]
    var modified: Int64
    var isSynced: Bool
  }

  package let world: World
  package var faults: Faults
  package var marks = Marks()
  /// Called with each durable step, in order.
  package var onCreate: ((_ path: String, _ bytes: [UInt8]) -> Void)?
  package var onDelete: ((_ path: String) -> Void)?
  /// Called after a crash of the machine took objects.
  package var onLoss: (() -> Void)?
  /// Called before a put-if-absent is sent, and when its object is visible but not durable: the moments at which a death or a sleep does the
  /// most harm.
  package var onPut: ((Node) -> Void)?
  package var onVisible: ((Node) -> Void)?
  /// A name that was used for other bytes: its writer broke the store's contract.
  package var onRewrite: ((_ path: String) -> Void)?
  fileprivate var random: SplitMix64
  fileprivate var crashes = 0
  fileprivate var outageUntil: Int64 = 0
  fileprivate var fullUntil: Int64 = 0
  fileprivate var putsLostUntil: Int64 = 0
  private var truncatesUntil: Int64 = 0
  /// An answer may have been cut short.
  private(set) var hasTruncated = false
  private var objects: [String: Object] = [:]
  /// Paths of objects that a crash may take.
  private var unsynced: Set<String> = []
  /// Paths by directory: a listing looks at few of them.
  private var directories: [String: Set<String>] = [:]

  package init(world: World, faults: Faults = .none) {
    self.world = world
    self.faults = faults
    random = world.random("store")
  }

  /// A copy in another world, without faults.
  convenience init(world: World, copying other: SimulatedObjectStore) {
    self.init(world: world)
    for (path, object) in other.objects.sorted(by: { $0.key < $1.key }) {
      set(path, Object(bytes: object.bytes, modified: wall, isSynced: true))
    }
  }

  /// The store as one node reaches it.
  package func reached(by node: Node) -> any ObjectStore { NodeStore(node: node, shared: self) }

  /// What is stored, without a request: for oracles.
  package func peek(_ path: String) -> [UInt8]? { objects[path]?.bytes }

  package func paths(_ prefix: String) -> [String] {
    var found: [String] = []
    for (directory, paths) in directories {
      if directory.hasPrefix(prefix) {
        found += paths
      } else if prefix.hasPrefix(directory) {
        found += paths.filter { $0.hasPrefix(prefix) }
      }
    }
    return found.sorted()
  }

  private static func directory(_ path: String) -> String { path.lastIndex(of: "/").map { String(path[...$0]) } ?? "" }

  private func set(_ path: String, _ object: Object?) {
    objects[path] = object
    if object?.isSynced == false { unsynced.insert(path) } else { unsynced.remove(path) }
    let directory = SimulatedObjectStore.directory(path)
    if object == nil { directories[directory]?.remove(path) } else { directories[directory, default: []].insert(path) }
  }

  /// Power loss: requests under way are lost, and of what was not synced each object with chance one half.
  package func crash() {
    crashes += 1
    for path in unsynced.sorted() {
      if random.chance(0.5) {
        set(path, nil)
        marks.hit(.objectLostInCrash)
      } else {
        sync(path)
      }
    }
    onLoss?()
  }

  /// There is no space for a while.
  package func fill(nanoseconds: Int64) { fullUntil = max(fullUntil, world.now + nanoseconds) }

  /// Answers to reads may be cut short for a while.
  package func truncate(nanoseconds: Int64) {
    hasTruncated = true
    truncatesUntil = max(truncatesUntil, world.now + nanoseconds)
  }

  /// All that lasts for a while is over.
  package func heal() { (fullUntil, truncatesUntil, outageUntil, putsLostUntil) = (0, 0, 0, 0) }

  /// Nothing is put for a while, and everything can be read.
  package func losePuts(nanoseconds: Int64) { putsLostUntil = max(putsLostUntil, world.now + nanoseconds) }

  /// No request arrives for a while.
  package func fail(nanoseconds: Int64) { outageUntil = max(outageUntil, world.now + nanoseconds) }

  // MARK: Effects

  fileprivate func create(_ object: NewObject, isSynced: Bool) -> Bool {
    guard objects[object.path] == nil else { return false }
    set(object.path, Object(bytes: object.bytes, modified: wall, isSynced: isSynced))
    note(object.path)
    onCreate?(object.path, object.bytes)
    return true
  }

  fileprivate func store(_ object: NewObject) {
    if let old = objects[object.path] {
      if old.bytes != object.bytes { onRewrite?(object.path) }
      sync(object.path)
    } else {
      _ = create(object, isSynced: true)
    }
  }

  fileprivate func replace(_ object: NewObject) {
    set(object.path, Object(bytes: object.bytes, modified: wall, isSynced: true))
    note(object.path)
  }

  fileprivate var isFull: Bool {
    guard fullUntil > world.now else { return false }
    marks.hit(.fullDiskMet)
    return true
  }

  /// What an answer to a read holds.
  fileprivate func answer(_ bytes: [UInt8]?) -> [UInt8]? {
    guard let bytes, truncatesUntil > world.now, random.chance(0.2) else { return bytes }
    marks.hit(.answerTruncated)
    return Array(bytes.prefix(random.below(bytes.count + 1)))
  }

  fileprivate func sync(_ path: String) {
    objects[path]?.isSynced = true
    unsynced.remove(path)
  }

  /// Of a log two objects are visible and may vanish: if the first of them does, a worker acted on it too early.
  var hasUnsyncedPair: Bool {
    let logs = unsynced.map(SimulatedObjectStore.directory)
    return Set(logs).count < logs.count
  }

  fileprivate func delete(_ path: String) {
    guard objects[path] != nil else { return }
    set(path, nil)
    note(path)
    onDelete?(path)
  }

  fileprivate func list(_ prefix: String) -> [ObjectInfo] {
    paths(prefix).compactMap { path in
      objects[path].map { ObjectInfo(path: path, bytes: Int64($0.bytes.count), modifiedMicroseconds: $0.modified) }
    }
  }

  private var wall: Int64 { SimulatedClock.epochMicroseconds + world.now / 1000 }

  private func note(_ path: String) { world.note(Int64(path.utf8.reduce(5381) { $0 &* 33 &+ Int($1) })) }
}

/// The way of requests from one node.
private struct NodeStore: ObjectStore {
  let node: Node
  let shared: SimulatedObjectStore

  var place: String { "simulation" }

  private enum Way {
    case lost, delayed, replyLost, good, refused, slow
  }

  /// The reply on its way back; nil while there is none.
  ///
  /// `@unchecked Sendable`: see ``World``.
  private final class Reply<T>: @unchecked Sendable {
    var value: T?
  }

  /// Sends a request. `effect` learns whether its reply will be lost; nil if there is no reply.
  private func request<T: Sendable>(isRead: Bool, _ effect: @escaping (_ replyIsLost: Bool) -> T) async -> T? {
    let way = isRead ? readWay() : writeWay()
    let reply = Reply<T>()
    let timeout = 50_000_000 + latency()
    await wait { resume in
      switch way {
      case .lost: shared.world.after(timeout, resume)
      case .delayed:
        shared.world.after(timeout, resume)
        land(after: timeout + late()) {
          shared.marks.hit(.delayedRequestLanded)
          _ = effect(true)
        }
      case .refused: shared.world.after(latency(), resume)
      case .replyLost, .good, .slow:
        land(after: latency()) {
          let value = effect(way == .replyLost)
          if way != .replyLost { reply.value = value }
          shared.world.after(way == .good ? latency() : way == .slow ? latency() * 1000 : timeout, resume)
        }
      }
    }
    return reply.value
  }

  /// Suspends until the given closure is called, if ever.
  private func wait(_ body: (_ resume: @escaping () -> Void) -> Void) async {
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      body { continuation.resume() }
    }
  }

  /// The request arrives, unless the machine crashes before.
  private func land(after nanoseconds: Int64, _ effect: @escaping () -> Void) {
    let store = shared
    let crashes = store.crashes
    store.world.after(nanoseconds) { if store.crashes == crashes { effect() } }
  }

  private func late() -> Int64 { Int64(shared.random.next() % UInt64(shared.faults.delayNanosecondsMax)) }

  private func latency() -> Int64 { 1_000_000 + Int64(shared.random.next() % 4_000_000) }

  private var isOut: Bool { shared.outageUntil > shared.world.now }

  private func readWay() -> Way {
    if isOut { return .lost }
    if let way = anyWay() { return way }
    guard shared.random.chance(shared.faults.readFailed) else { return .good }
    shared.marks.hit(.readFailed)
    return .lost
  }

  /// Of reads and writes.
  private func anyWay() -> Way? {
    if shared.random.chance(shared.faults.requestRefused) {
      shared.marks.hit(.requestRefused)
      return .refused
    }
    guard shared.random.chance(shared.faults.requestSlow) else { return nil }
    shared.marks.hit(.requestSlow)
    return .slow
  }

  private func writeWay() -> Way {
    if isOut { return .lost }
    if let way = anyWay() { return way }
    if shared.random.chance(shared.faults.requestLost) {
      shared.marks.hit(.requestLost)
      return .lost
    }
    if shared.random.chance(shared.faults.requestDelayed) {
      shared.marks.hit(.requestDelayed)
      return .delayed
    }
    if shared.random.chance(shared.faults.replyLost) {
      shared.marks.hit(.replyLost)
      return .replyLost
    }
    return .good
  }

  private var timedOut: WeirError {
    WeirError(.storage, "the simulated store timed out")
  }

  private var full: WeirError {
    WeirError(.fullDisk, "the simulated store is full", advice: "Wait.")
  }

  func write(_ objects: [NewObject]) async throws {
    let shared = shared
    if shared.isFull { throw full }
    let reply: Bool? = await request(isRead: false) { replyIsLost in
      let count = replyIsLost ? shared.random.below(objects.count + 1) : objects.count
      for object in objects.prefix(count) { shared.store(object) }
      return true
    }
    if reply == nil { throw timedOut }
  }

  /// Visible at once; durable when the reply is sent, or never if it is lost.
  func putIfAbsent(_ object: NewObject) async -> PutOutcome {
    let shared = shared
    if shared.isFull { return .unknown("the simulated store is full") }
    shared.onPut?(node)
    await node.sleep(nanoseconds: 1000)
    if shared.putsLostUntil > shared.world.now {
      await node.sleep(nanoseconds: 50_000_000)
      return .unknown("the simulated store timed out")
    }
    let created: Bool? = await request(isRead: false) { _ in
      let isNew = shared.create(object, isSynced: false)
      if isNew { shared.onVisible?(node) }
      return isNew
    }
    guard let created else { return .unknown("the simulated store timed out") }
    guard !created else {
      shared.sync(object.path)
      return .created
    }
    shared.marks.hit(.putExists)
    await node.sleep(nanoseconds: 1000)
    return .exists
  }

  func replace(_ object: NewObject) async throws {
    let shared = shared
    if shared.isFull { throw full }
    let reply: Bool? = await request(isRead: false) { _ in
      shared.replace(object)
      return true
    }
    if reply == nil { throw timedOut }
  }

  func get(_ path: String) async throws -> [UInt8]? {
    let shared = shared
    let reply: [UInt8]?? = await request(isRead: true) { _ in shared.answer(shared.peek(path)) }
    guard let reply else { throw timedOut }
    return reply
  }

  func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    try await get(path).map { Array($0.dropFirst(Int(offset)).prefix(count)) }
  }

  func list(_ prefix: String) async throws -> [ObjectInfo] {
    let shared = shared
    let reply: [ObjectInfo]? = await request(isRead: true) { _ in shared.list(prefix) }
    guard let reply else { throw timedOut }
    return reply
  }

  func sync(_ path: String) async throws {
    let shared = shared
    let reply: Bool? = await request(isRead: true) { _ in
      shared.sync(path)
      return true
    }
    if reply == nil { throw timedOut }
  }

  func delete(_ path: String) async throws {
    let shared = shared
    let reply: Bool? = await request(isRead: false) { _ in
      shared.delete(path)
      return true
    }
    if reply == nil { throw timedOut }
  }
}
