import WeirCore
import WeirEngine
import WeirTesting

/// A capture's file, which may grow, and be replaced by a shorter or another one for a while.
///
/// `@unchecked Sendable`: see ``World``.
final class SimulatedCapture: @unchecked Sendable {
  let world: World
  let workload: ReplayWorkload
  var marks = Marks()
  /// Chance per read.
  var readFailed = 0.0
  fileprivate var random: SplitMix64
  private var damagedUntil: Int64 = 0
  private var lengthWhenDamaged: Int64?
  /// It was another file for a while.
  private(set) var wasDamaged = false

  init(world: World, workload: ReplayWorkload) {
    self.world = world
    self.workload = workload
    random = world.random("capture")
  }

  /// Writers sleep when the whole world does.
  private var time: Int64 { world.now - world.warped }

  /// Everything is in the file.
  var isWhole: Bool { time >= workload.endsAt }

  /// For a while the file is shorter than what was consumed, or has other bytes there.
  /// - Parameter consumed: by the ledger.
  func damage(consumed: Int64) {
    guard consumed > 0 else { return }
    marks.hit(.captureDamaged)
    wasDamaged = true
    damagedUntil = world.now + Int64(random.below(2_000)) * 1_000_000
    lengthWhenDamaged = random.chance(0.5) ? Int64(random.below(Int(consumed))) : nil
  }

  func heal() { (damagedUntil, readFailed) = (0, 0) }

  fileprivate var isDamaged: Bool { damagedUntil > world.now }
  fileprivate var length: Int64 { isDamaged ? lengthWhenDamaged ?? workload.length(at: time) : workload.length(at: time) }

  /// What a reader of the file hashes.
  fileprivate func hash(before position: Int64) -> Hash128 {
    let hash = workload.hash(before: position)
    return isDamaged && lengthWhenDamaged == nil ? Hash128(low: ~hash.low, high: hash.high) : hash
  }

  func source(of node: Node, from start: CaptureStart, keepOpen: Bool) -> any RecordSource {
    SimulatedCaptureSource(self, node, start, keepOpen: keepOpen)
  }
}

/// One reading of the file: blocks of some lines, and a cut after the first line that ends at or after each multiple of the workload's size.
///
/// `@unchecked Sendable`: see ``World``.
private final class SimulatedCaptureSource: RecordSource, @unchecked Sendable {
  private static let closed = WeirError(.closed, "the simulated capture was closed while it was read")

  private let capture: SimulatedCapture
  private let node: Node
  private let start: CaptureStart
  private let keepOpen: Bool
  private let running = RunningHash()
  private var position: Int64
  private var nextCut: Int64 = 0
  private var cutIsDue = false
  private var handedOut = false
  private var hasEnded = false
  private var isPositioned = false
  private var isClosed = false

  init(_ capture: SimulatedCapture, _ node: Node, _ start: CaptureStart, keepOpen: Bool) {
    (self.capture, self.node, self.start, self.keepOpen) = (capture, node, start, keepOpen)
    position = start.position
    setNextCut()
  }

  func close() async { isClosed = true }

  private func setNextCut() { nextCut = (position / capture.workload.cutBytes + 1) * capture.workload.cutBytes }

  func next() async throws -> SourceEvent {
    await node.sleep(nanoseconds: 200_000 + Int64(capture.random.below(3_000_000)))
    try await rest()
    if capture.random.chance(capture.readFailed) {
      capture.marks.hit(.captureFailed)
      throw WeirError(.storage, "a read of the simulated capture failed")
    }
    if !isPositioned { try begin() }
    if cutIsDue { return cut() }
    if hasEnded { return .end }
    if let block = try block() { return block }
    hasEnded = true
    return handedOut ? cut() : .end
  }

  /// A pipe whose writer pauses.
  private func rest() async throws {
    if capture.random.chance(0.02) {
      capture.marks.hit(.pipePaused)
      for _ in 0..<capture.random.below(30) where !isClosed { await node.sleep(nanoseconds: 30_000_000) }
    }
    if isClosed { throw SimulatedCaptureSource.closed }
  }

  /// The file must begin as it did when the ledger's position was reached.
  private func begin() throws {
    isPositioned = true
    if capture.length < start.position { throw changed("it is shorter than what was consumed") }
    if let expected = start.prefix, start.position > 0, capture.hash(before: start.position) != expected {
      throw changed("its first \(start.position) bytes differ from those consumed before")
    }
    capture.workload.bytes.withUnsafeBytes { running.update(UnsafeRawBufferPointer(rebasing: $0[..<Int(start.position)])) }
  }

  private func changed(_ why: String) -> WeirError {
    capture.marks.hit(.captureChanged)
    return WeirError(.captureChanged, "this is not the capture that the ledger was started with: \(why)")
  }

  private func cut() -> SourceEvent {
    (cutIsDue, handedOut) = (false, false)
    setNextCut()
    return .cut(position: position, prefixHash: running.digest)
  }

  /// The next lines, at most to the next cut; nil: the file has no more.
  private func block() throws -> SourceEvent? {
    let workload = capture.workload
    let length = capture.length
    guard length >= position else { throw changed("it was truncated while it was read") }
    var lines = workload.lines(position, length)
    // A last line that may grow is left for a later run.
    if keepOpen, let last = lines.last, workload.bytes[Int(last.end) - 1] != 0x0A { lines.removeLast() }
    if let cut = lines.firstIndex(where: { $0.end >= nextCut }) { lines = lines[...cut] }
    lines = lines.prefix(1 + capture.random.below(12))
    guard let last = lines.last else { return nil }
    let text = Array(workload.bytes[Int(position)..<Int(last.end)])
    var block = RawBlock(lines: text, position: position)
    if keepOpen { block.hashBefore = HashBefore(running) }
    text.withUnsafeBytes { running.update($0) }
    block.prefixHash = running.digest
    position = last.end
    handedOut = true
    cutIsDue = position >= nextCut
    return .block(block, next: ShardPoint(position))
  }
}
