import Glibc
import WeirCore

/// Writes a capture of a live stream, and resumes an existing one. Blocks; used by one thread at a time.
///
/// Only complete frames count as captured: a writer that was killed anywhere resumes after the last complete frame of each
/// shard, and no record is there twice or not at all. A frame that was not finished is cut off.
package final class LiveCaptureWriter: @unchecked Sendable {
  // Unchecked: one thread at a time, as its owner promises.
  package struct Options: Sendable {
    package var directory: String
    /// A segment that is this large, or this old, is finished, and another begun.
    package var rollBytes: Int64
    package var rollMicroseconds: Int64
    /// zstd's.
    package var level: Int32

    package init(directory: String, rollBytes: Int64 = 256 << 20, rollMicroseconds: Int64 = 3_600_000_000, level: Int32 = 3) {
      self.directory = directory
      self.rollBytes = rollBytes
      self.rollMicroseconds = rollMicroseconds
      self.level = level
    }
  }

  private let options: Options
  /// Of the capture. Set from the beginning, so that `deinit` gives the lock back where opening fails.
  private var id = ""
  private var lock: Int32 = -1
  private var segment: (descriptor: Int32, header: SegmentHeader, path: String, size: Int64)?
  private var nextSegment: Int64 = 0
  private var shards: [SourceShard] = []
  private var numbers: [String: Int] = [:]
  /// Everything of a shard before its position is captured.
  package private(set) var positions: [String: Int64] = [:]
  /// Of counted shards: the source's positions.
  private var sequences: [String: SequenceNumber] = [:]
  /// Shards that have ended, and of which everything is captured.
  package private(set) var ended: Set<String> = []
  /// What shows later whether a shard is still the one that was captured.
  package private(set) var identities: [String: ShardIdentity] = [:]
  /// In the whole capture.
  package private(set) var records: Int64 = 0
  /// Of all files of this run.
  package private(set) var bytesWritten: Int64 = 0
  /// What a writer that was killed left unfinished, cut off at the start.
  package private(set) var tornBytes: Int64 = 0
  /// A file with what was cut off, if whole frames were in it: that is damage, and not only an unfinished write.
  package private(set) var keptFile: String?

  /// Opens the capture of a directory, or begins one there.
  /// - Throws: `busy` if another process writes it; `corrupt`; what the file system says.
  package init(_ options: Options, random: any RandomSource) throws(WeirError) {
    self.options = options
    for parent in try FileSystem.makeDirectory(options.directory) { try FileSystem.syncDirectory(parent) }
    let path = options.directory + "/.lock"
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard lock >= 0 else { throw FileSystem.error("open", path) }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      close(lock)
      throw WeirError(
        .busy, "another process captures into \(options.directory)", advice: "Stop it, or name another directory.")
    }
    let paths = try SegmentFile.paths(in: options.directory)
    guard let last = paths.last else {
      id = Hash128(low: random.next(), high: random.next()).hex
      return
    }
    let file = try SegmentFile(last)
    try file.header.check(number: paths.count - 1, last)
    id = file.header.capture
    nextSegment = file.header.segment + 1
    records = file.header.records
    adopt(file.header.shards)
    try resume(file)
  }

  deinit {
    if let segment { close(segment.descriptor) }
    guard lock >= 0 else { return }
    // Closing alone would leave the lock to a child process that is between its fork and its exec.
    flock(lock, LOCK_UN)
    close(lock)
  }

  private func adopt(_ all: [SegmentHeader.Shard]) {
    for item in all {
      numbers[item.shard.name] = shards.count
      shards.append(item.shard)
      positions[item.shard.name] = item.position
      sequences[item.shard.name] = item.sequence
      if item.isEnded { ended.insert(item.shard.name) }
      identities[item.shard.name] = item.identity
    }
  }

  /// Goes over the last segment with all its checksums, cuts off what is not whole, and appends to it.
  ///
  /// After a damaged place there may be whole frames, whose records the source has dropped meanwhile: nothing of that is thrown away.
  private func resume(_ file: SegmentFile) throws(WeirError) {
    var offset = file.framesAt
    scan: while true {
      switch try file.frame(at: offset) {
      case .end, .torn: break scan
      case .frame(let frame):
        let name = file.header.shards[Int(frame.shard)].shard.name
        guard positions[name] == frame.first, let block = try file.block(frame, at: offset) else { break scan }
        remember(block, of: name)
        sequences[name] = point(of: name).flatMap { block.end(from: $0).sequence }
        positions[name] = frame.next
        records += Int64(frame.records)
        offset += Int64(LiveCaptureFormat.frameHeaderBytes) + Int64(frame.payload)
      }
    }
    tornBytes = file.size - offset
    if tornBytes > 0, try file.hasFrame(behind: offset) { try keep(file, from: offset) }
    let descriptor = open(file.path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileSystem.error("open", file.path) }
    guard ftruncate(descriptor, off_t(offset)) == 0 else {
      close(descriptor)
      throw FileSystem.error("cut", file.path)
    }
    FileSystem.sync(descriptor, file.path)
    segment = (descriptor, file.header, file.path, offset)
  }

  private func remember(_ block: RecordedBlock, of shard: String) {
    guard let last = block.fingerprint(block.count - 1) else { return }
    let isFirst = identities[shard]?.anchor == nil
    identities[shard, default: ShardIdentity()].read(first: isFirst ? block.fingerprint(0) : nil, last: last)
  }

  /// The source was looked at. It goes into the next segment's header.
  package func adopt(_ outcome: ShardCheck.Outcome, of shard: String) {
    if numbers[shard] != nil { identities[shard, default: ShardIdentity()].adopt(outcome) }
  }

  /// It could not be verified that shards are still those that were captured: begins a segment whose header says why.
  package func note(unverified reasons: [String: String], now: Int64) throws(WeirError) {
    let known = reasons.filter { numbers[$0.key] != nil }
    if !known.isEmpty { try roll(now: now, unverified: known) }
  }

  /// Copies the rest of a segment into a file of its own, which is not a segment: it is read only to look for what was lost.
  private func keep(_ file: SegmentFile, from offset: Int64) throws(WeirError) {
    let path = options.directory + "/damaged-\(file.header.segment)-\(offset).frames"
    guard let rest = try FileSystem.read(file.path, offset: offset) else { throw FileSystem.error("read", file.path) }
    // Of an earlier try, which did not come to cutting it off.
    unlink(path)
    try FileSystem.create(path, rest)
    try FileSystem.syncDirectory(options.directory)
    keptFile = path
  }

  /// Where each of the shards begins that is not in the capture yet.
  /// - Parameter before: the record before each start, where there is one.
  package func add(_ new: [SourceShard], starts: [String: ShardPoint], before: [String: Fingerprint] = [:], now: Int64) throws(WeirError) {
    if list(new, starts, before) { try roll(now: now) }
  }

  /// - Returns: false: they are all in the capture.
  private func list(_ new: [SourceShard], _ starts: [String: ShardPoint], _ before: [String: Fingerprint]) -> Bool {
    let missing = new.filter { numbers[$0.name] == nil }
    adopt(
      missing.map { shard in
        let start = starts[shard.name] ?? 0
        // Without the record before it too: so it differs from a capture of an earlier version, which has no identities.
        return .init(
          shard: shard, position: start.ordinal, identity: ShardIdentity(anchor: before[shard.name]), sequence: start.sequence)
      })
    return !missing.isEmpty
  }

  package var knownShards: [SourceShard] { shards }

  /// Where a shard continues; nil: the capture does not have it.
  package func point(of shard: String) -> ShardPoint? {
    positions[shard].map { ShardPoint(ordinal: $0, sequence: sequences[shard]) }
  }

  /// The same of all shards that have not ended.
  package var points: [String: ShardPoint] {
    let open = shards.map(\.name).filter { !ended.contains($0) }
    return Dictionary(uniqueKeysWithValues: open.compactMap { name in point(of: name).map { (name, $0) } })
  }

  /// A counted shard has ended, and all its records are written: begins a segment that says so, and has the shards with its keys.
  package func end(_ shard: String, children: [SourceShard], starts: [String: ShardPoint], now: Int64) throws(WeirError) {
    guard numbers[shard] != nil, ended.insert(shard).inserted else { return }
    _ = list(children, starts, [:])
    try roll(now: now)
  }

  /// Records of a counted shard were lost at the source, from its position on: begins a segment that says so.
  /// - Parameter place: where the shard continues.
  package func note(lost reason: String, of shard: String, upTo place: ShardPoint, now: Int64) throws(WeirError) {
    guard numbers[shard] != nil, let sequence = place.sequence else { return }
    sequences[shard] = sequence
    try roll(now: now, lost: [shard: reason])
  }

  /// Appends a frame a block, and syncs. Blocks without records and without news are left out.
  /// - Parameter now: UTC microseconds since 1970.
  package func write(_ blocks: [RecordedBlock], now: Int64) throws(WeirError) {
    var bytes: [UInt8] = []
    // A shard may have several, such as what was lost and what came after it.
    var ends = positions
    for block in blocks where block.next > block.first {
      guard let number = numbers[block.shard], ends[block.shard] == block.first else {
        throw WeirError(.internal, "a block of \(block.shard) from \(block.first) does not follow")
      }
      ends[block.shard] = block.next
      let payload = FramePayload.encode(block)
      let compressed = Zstd.compress(payload, level: options.level)
      var frame = FrameHeader(of: block)
      frame.payload = UInt32(compressed.count)
      frame.uncompressed = UInt32(payload.count)
      frame.shard = UInt32(number)
      bytes += frame.bytes(crc: frame.sum(compressed))
      bytes += compressed
    }
    guard !bytes.isEmpty, let (descriptor, header, path, size) = segment else { return }
    try FileSystem.append(descriptor, bytes, path)
    FileSystem.sync(descriptor, path)
    for block in blocks where block.next > block.first {
      sequences[block.shard] = point(of: block.shard).flatMap { block.end(from: $0).sequence }
      remember(block, of: block.shard)
    }
    positions = ends
    records += blocks.reduce(0) { $0 + ($1.next > $1.first ? Int64($1.count) : 0) }
    bytesWritten += Int64(bytes.count)
    segment?.size = size + Int64(bytes.count)
    if size + Int64(bytes.count) >= options.rollBytes || now - header.created >= options.rollMicroseconds { try roll(now: now) }
  }

  /// Finishes the segment and begins the next, whose header holds all positions.
  private func roll(now: Int64, unverified: [String: String] = [:], lost: [String: String] = [:]) throws(WeirError) {
    if let segment { close(segment.descriptor) }
    segment = nil
    let header = SegmentHeader(
      capture: id, segment: nextSegment, created: now, records: records,
      shards: shards.map {
        .init(
          shard: $0, position: positions[$0.name] ?? 0, identity: identities[$0.name], unverified: unverified[$0.name],
          sequence: sequences[$0.name], lost: lost[$0.name], isEnded: ended.contains($0.name))
      })
    let path = options.directory + "/" + LiveCaptureFormat.fileName(nextSegment)
    let temporary = options.directory + "/.new"
    unlink(temporary)
    let bytes = header.bytes
    // Whole under its name or not there at all: a reader never sees half a header.
    try FileSystem.create(temporary, bytes)
    guard rename(temporary, path) == 0 else { throw FileSystem.error("create", path) }
    try FileSystem.syncDirectory(options.directory)
    let descriptor = open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileSystem.error("open", path) }
    segment = (descriptor, header, path, Int64(bytes.count))
    nextSegment += 1
    bytesWritten += Int64(bytes.count)
  }
}
