import WeirCore

/// Reads steps of a live capture: the blocks of each, then its cut.
final class LiveCaptureSource: RecordSource {
  private let reader: Reader
  private let thread = BlockingThreads(count: 1)

  init(_ capture: LiveCapture, _ steps: [[RecordedRange]]) { reader = Reader(capture, steps) }

  func next() async throws -> SourceEvent { try await thread.run { [reader] in try reader.next() } }

  func close() async { thread.stop() }

  /// Used by one job at a time.
  private final class Reader: @unchecked Sendable {
    // Unchecked: `next` is called by one task at a time, which waits for each job.
    private let capture: LiveCapture
    private let steps: [[RecordedRange]]
    private let numbers: [String: Int]
    private var step = 0
    private var range = 0
    /// Of the current range: its next frame among those of its shard; nil before the first.
    private var frame: Int?
    /// Frames of which a later range wants the rest. Bounded by ``keptBytesMax``.
    private var kept: [Int: RecordedBlock] = [:]
    private var keptBytes = 0
    /// What is left of the last frame, last piece first.
    private var pieces: [RawBlock] = []
    private static let keptBytesMax = 64 << 20

    init(_ capture: LiveCapture, _ steps: [[RecordedRange]]) {
      self.capture = capture
      self.steps = steps
      numbers = Dictionary(uniqueKeysWithValues: capture.shards.enumerated().map { ($1.name, $0) })
    }

    func next() throws(WeirError) -> SourceEvent {
      while step < steps.count {
        guard range < steps[step].count else {
          defer { (step, range) = (step + 1, 0) }
          return .cut(position: Int64(step), prefixHash: Hash128(low: 0, high: 0))
        }
        if let block = try block(steps[step][range]) {
          return .block(block, next: ShardPoint((block.details?.positions.last ?? block.position) + 1))
        }
        (range, frame) = (range + 1, nil)
      }
      return .end
    }

    /// The next records of a range; nil: there are no more.
    private func block(_ range: RecordedRange) throws(WeirError) -> RawBlock? {
      if let piece = pieces.popLast() { return piece }
      guard let shard = numbers[range.shard] else { return nil }
      let frames = capture.framesOfShard[shard]
      var at = frame ?? firstFrame(of: frames, behind: range.from)
      defer { frame = at }
      while at < frames.count {
        let number = Int(frames[at])
        let header = capture.frames[number].header
        guard header.first < range.to else { return nil }
        at += 1
        guard header.records > 0, range.from < range.to else { continue }
        let block = try take(number, isLast: header.next <= range.to)
        pieces = block.pieces(in: range.from..<range.to, bytesMax: capture.blockBytes).reversed()
        if let piece = pieces.popLast() { return piece }
      }
      return nil
    }

    /// The first frame that ends after a position.
    private func firstFrame(of frames: [Int32], behind position: Int64) -> Int {
      var (low, high) = (0, frames.count)
      while low < high {
        let middle = (low + high) / 2
        if capture.frames[Int(frames[middle])].header.next <= position { low = middle + 1 } else { high = middle }
      }
      return low
    }

    /// - Parameter isLast: the frame after this range is not needed.
    private func take(_ number: Int, isLast: Bool) throws(WeirError) -> RecordedBlock {
      if let block = kept[number] {
        if isLast {
          kept[number] = nil
          keptBytes -= block.text.count
        }
        return block
      }
      let block = try capture.block(number)
      if !isLast {
        if keptBytes + block.text.count > Reader.keptBytesMax { (kept, keptBytes) = ([:], 0) }
        kept[number] = block
        keptBytes += block.text.count
      }
      return block
    }
  }
}
