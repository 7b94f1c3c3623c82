import Glibc
import WeirCore

/// A capture of a live stream, to be read: all its segments, and where each frame is.
///
/// Only headers are read at first. A frame that is not all there is the end of the last segment (its writer was killed, or is at
/// work); anywhere else it is damage, and so is a hole between the frames of a shard.
package final class LiveCapture: RecordedStream {
  struct Frame: Sendable {
    var segment: Int32
    var shard: Int32
    var offset: Int64
    var header: FrameHeader
  }

  package let directory: String
  package let shards: [SourceShard]
  package let bounds: [String: ShardBounds]
  /// Where each shard's records begin.
  private let lows: [Int64]
  /// Records in all frames.
  package let records: Int64
  /// Bytes of an unfinished write at the end, which are left out.
  package let tornBytes: Int64
  let segments: [SegmentFile]
  /// The source counts its records: they have numbers of the source besides their positions.
  package let countsRecords: Bool
  /// In the order of recording.
  let frames: [Frame]
  /// Numbers of each shard's frames.
  let framesOfShard: [[Int32]]
  /// Bytes of text of a block at most, unless one record has more.
  let blockBytes: Int
  /// Of each shard that could not be verified at some position: why.
  private let doubts: [Int: [LiveCaptureScan.Doubt]]
  /// What counted shards lost.
  private let losses: [Int: [RecordedGap]]
  /// Shards that ended, each with the number of the first frame after its end.
  private let ends: [(frame: Int, shard: Int)]

  /// A file of this name, in a directory, is part of a live capture.
  package static func isSegment(_ name: String) -> Bool { name.hasPrefix("segment-") && name.hasSuffix(LiveCaptureFormat.fileSuffix) }

  /// The directory is one of a live capture.
  package static func isOne(_ path: String) -> Bool {
    var info = stat()
    guard stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else { return false }
    return ((try? SegmentFile.paths(in: path)) ?? []).isEmpty == false
  }

  /// - Parameter blockBytes: bytes of text of a block at most, unless one record has more.
  package init(_ directory: String, blockBytes: Int = CaptureSource.blockBytes) throws(WeirError) {
    self.directory = directory
    self.blockBytes = max(1, blockBytes)
    let paths = try SegmentFile.paths(in: directory)
    guard !paths.isEmpty else {
      throw WeirError(
        .config, "\(directory) holds no segments of a capture", advice: "Name \(.captureDirectory).")
    }
    var scan = LiveCaptureScan()
    for (number, path) in paths.enumerated() { try scan.add(path, isLast: number == paths.count - 1) }
    segments = scan.segments
    frames = scan.frames
    countsRecords = scan.segments.contains { $0.header.shards.contains { $0.sequence != nil } }
    shards = scan.shards.map(\.shard)
    framesOfShard = scan.framesOfShard
    (doubts, losses, ends) = (scan.doubts, scan.losses, scan.ends)
    records = scan.records
    tornBytes = scan.tornBytes
    lows = scan.shards.map(\.low)
    bounds = Dictionary(
      uniqueKeysWithValues: scan.shards.map { ($0.shard.name, ShardBounds(low: .offset($0.low), high: .offset($0.next))) })
  }

  /// The beginning of what was captured, uncompressed; fewer bytes if it is shorter. `earlier`: how many there were when the capture
  /// was shorter still, frame by frame.
  package func firstBytes(count: Int) throws(WeirError) -> (bytes: [UInt8], earlier: [Int]) {
    var bytes: [UInt8] = []
    var earlier: [Int] = []
    for number in frames.indices where bytes.count < count {
      earlier.append(bytes.count)
      bytes += FramePayload.encode(try block(number))
    }
    return (Array(bytes.prefix(count)), earlier)
  }

  /// The records of a frame.
  func block(_ number: Int) throws(WeirError) -> RecordedBlock {
    let frame = frames[number]
    let segment = segments[Int(frame.segment)]
    guard let block = try segment.block(frame.header, at: frame.offset) else {
      throw LiveCaptureFormat.corrupt(segment.path, "the frame at its byte \(frame.offset) is not what was written")
    }
    return block
  }

  /// Frame `at` of those of a shard; nil: it has no more.
  package func block(ofShard shard: Int, at: Int) throws(WeirError) -> RecordedBlock? {
    at < framesOfShard[shard].count ? try block(Int(framesOfShard[shard][at])) : nil
  }

  // MARK: RecordedStream

  package func steps(after positions: [String: Int64], bytes: Int64) -> [[RecordedRange]] {
    var next = shards.indices.map { positions[shards[$0].name] ?? lows[$0] }
    var steps: [[RecordedRange]] = []
    var step: [Int: RecordedRange] = [:]
    var input: Int64 = 0
    func close() {
      if !step.isEmpty { steps.append(step.values.sorted { $0.shard < $1.shard }) }
      (step, input) = ([:], 0)
    }
    var ends = self.ends[...]
    func endShards(before frame: Int) {
      let isDue = ends.first.map { $0.frame <= frame } ?? false
      while let end = ends.first, end.frame <= frame {
        let name = shards[end.shard].name
        let at = next[end.shard]
        var range = step[end.shard] ?? RecordedRange(shard: name, from: at, to: at)
        range.children = shards.filter { $0.parents.contains(name) }
        // No records come after it.
        range.gaps += (losses[end.shard] ?? []).filter { $0.position >= at }
        step[end.shard] = range
        ends.removeFirst()
      }
      // What follows may be of the children.
      if isDue { close() }
    }
    for (number, frame) in frames.enumerated() {
      endShards(before: number)
      guard frame.header.next > next[Int(frame.shard)] else { continue }
      let shard = Int(frame.shard)
      let from = max(frame.header.first, next[shard])
      step[shard, default: RecordedRange(shard: shards[shard].name, from: from, to: from)].to = frame.header.next
      if frame.header.isLost { step[shard]?.lost.append(from..<frame.header.next) }
      // A doubt belongs to the first records that come after it.
      step[shard]?.unverified += (doubts[shard] ?? []).filter { (next[shard]..<frame.header.next).contains($0.position) }.map(\.reason)
      step[shard]?.gaps += (losses[shard] ?? []).filter { (next[shard]..<frame.header.next).contains($0.position) }
      next[shard] = frame.header.next
      input += Int64(frame.header.uncompressed)
      if input >= bytes { close() }
    }
    endShards(before: frames.count)
    close()
    return steps
  }

  package func source(_ steps: [[RecordedRange]]) -> any RecordSource { LiveCaptureSource(self, steps) }
}

/// Goes over the segments' headers and frames.
struct LiveCaptureScan {
  struct Shard {
    var shard: SourceShard
    var low: Int64
    var next: Int64
  }

  struct Doubt {
    var position: Int64
    var reason: String
  }

  private(set) var segments: [SegmentFile] = []
  private(set) var frames: [LiveCapture.Frame] = []
  private(set) var framesOfShard: [[Int32]] = []
  private(set) var shards: [Shard] = []
  private(set) var records: Int64 = 0
  private(set) var tornBytes: Int64 = 0
  /// By the shard's number.
  private(set) var doubts: [Int: [Doubt]] = [:]
  private(set) var losses: [Int: [RecordedGap]] = [:]
  private(set) var ends: [(frame: Int, shard: Int)] = []
  private var numbers: [String: Int] = [:]

  mutating func add(_ path: String, isLast: Bool) throws(WeirError) {
    let segment = try SegmentFile(path)
    if let first = segments.first, first.header.capture != segment.header.capture {
      throw LiveCaptureFormat.corrupt(path, "it belongs to another capture than \(first.path)")
    }
    try segment.header.check(number: segments.count, path)
    segments.append(segment)
    try list(segment)
    var offset = segment.framesAt
    while true {
      switch try segment.frame(at: offset) {
      case .end: return
      case .torn:
        guard isLast, try !segment.hasFrame(behind: offset) else {
          throw LiveCaptureFormat.corrupt(path, "the frame is incomplete at its byte \(offset)")
        }
        tornBytes = segment.size - offset
        return
      case .frame(let frame):
        try add(frame, of: segment, at: offset)
        offset += Int64(LiveCaptureFormat.frameHeaderBytes) + Int64(frame.payload)
      }
    }
  }

  private mutating func list(_ segment: SegmentFile) throws(WeirError) {
    for item in segment.header.shards {
      if let known = numbers[item.shard.name] {
        guard shards[known].next == item.position else {
          throw LiveCaptureFormat.corrupt(
            segment.path,
            "\(item.shard.name) starts at \(item.position) in it, but the segment before stops at \(shards[known].next): is a segment missing?"
          )
        }
      } else {
        numbers[item.shard.name] = shards.count
        shards.append(Shard(shard: item.shard, low: item.position, next: item.position))
        framesOfShard.append([])
      }
      guard let number = numbers[item.shard.name] else { continue }
      if let reason = item.unverified { doubts[number, default: []].append(Doubt(position: item.position, reason: reason)) }
      if let reason = item.lost { losses[number, default: []].append(RecordedGap(position: item.position, reason: reason)) }
      if item.isEnded, !ends.contains(where: { $0.shard == number }) { ends.append((frames.count, number)) }
    }
  }

  private mutating func add(_ frame: FrameHeader, of segment: SegmentFile, at offset: Int64) throws(WeirError) {
    let name = segment.header.shards[Int(frame.shard)].shard.name
    guard let number = numbers[name], shards[number].next == frame.first else {
      throw LiveCaptureFormat.corrupt(segment.path, "the frame at its byte \(offset) does not follow the one before of \(name)")
    }
    shards[number].next = frame.next
    records += Int64(frame.records)
    framesOfShard[number].append(Int32(frames.count))
    frames.append(.init(segment: Int32(segments.count - 1), shard: Int32(number), offset: offset, header: frame))
  }
}
