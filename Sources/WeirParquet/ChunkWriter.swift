import WeirCore

/// What the footer says of a finished column chunk.
struct ChunkMetadata {
  var leaf: Leaf
  var codec: Codec
  var encodings: [(page: PageKind, encoding: Encoding, count: Int)]
  var values: Int
  var uncompressedBytes: Int
  var compressedBytes: Int
  /// Offsets in the file.
  var dictionaryOffset: Int?
  var dataOffset: Int
  var statistics: EncodedStatistics

  /// The same chunk, `bytes` further on in the file.
  func moved(by bytes: Int) -> ChunkMetadata {
    var moved = self
    moved.dictionaryOffset = dictionaryOffset.map { $0 + bytes }
    moved.dataOffset += bytes
    return moved
  }
}

/// Writes the column chunks of one leaf, one after the other: levels, pages, compression.
///
/// Holds the compressed pages of the open chunk and the values of the open page.
final class ChunkWriter {
  /// Readers hold a page in memory: this bounds the rows of pages whose values take next to no bytes.
  private static let pageValues = 128 << 10

  let leaf: Leaf
  private let pageBytes: Int
  private let checksums: Bool
  private let workbench: ParquetWorkbench
  private let values: any ValueEncoder
  // Levels of the open page. Definition levels of a flat column are kept only from the first null on.
  private var definitions = Buffer<UInt8>(capacity: 64)
  private var repetitions = Buffer<UInt8>(capacity: 64)
  private var levelCount = 0
  private var pageNulls = 0
  private var picked = Buffer<UInt32>(capacity: 64)
  // The open chunk.
  private var pages = Buffer<UInt8>(capacity: 4096)
  /// Of `pages`, once the chunk is settled: the dictionary's page comes last.
  private var dataBytes = 0
  private var encodings: [(page: PageKind, encoding: Encoding, count: Int)] = []
  private var chunkLevels = 0
  private var chunkNulls = 0
  private var rawBytes = 0
  // All chunks.
  private var fileNulls = 0
  private var bytesIn = 1
  private var bytesOut = 1
  private var levelFailure: String?
  private var compressorFailed = false

  init(leaf: Leaf, workbench: ParquetWorkbench) {
    self.leaf = leaf
    pageBytes = workbench.options.pageBytes
    checksums = workbench.options.checksums
    self.workbench = workbench
    values = leaf.makeEncoder()
  }

  /// Why the file must not be used, if so.
  var failure: String? {
    let reason = values.failure ?? levelFailure ?? (compressorFailed ? "the compressor failed" : nil)
    return reason.map { "column \(leaf.path.joined(separator: ".")): \($0)" }
  }

  /// Compressed bytes of the open chunk, about: what is not compressed yet is taken to shrink like what was.
  var estimatedBytes: Int {
    let open = values.estimatedBytes + (pageNulls > 0 ? levelCount / 8 : 0)
    return pages.count + open * bytesOut / bytesIn
  }

  // MARK: rows

  /// Takes rows of a flat column. A page of long strings closes at the row that fills it twice.
  func append(_ column: Column, _ rows: Picks) {
    let weight = values.weight(column.values, rows)
    let overflows = weight > 0 && values.openBytes + weight >= 2 * pageBytes
    if overflows && rows.count > 1 {
      let (first, second) = rows.halves
      append(column, first)
      return append(column, second)
    }
    if let validity = column.validity {
      appendNullable(column.values, validity, rows)
    } else {
      appendPresent(rows.count)
      values.append(column.values, rows)
    }
    if overflows { closePage() }
  }

  /// Called at a fixed interval of rows in the file.
  func endSlice() {
    values.endSlice()
    if values.openBytes >= pageBytes || levelCount >= ChunkWriter.pageValues { closePage() }
  }

  private func appendPresent(_ count: Int) {
    levelCount += count
    guard definitions.count > 0 else { return }
    definitions.reserve(count)
    definitions.end.update(repeating: 1, count: count)
    definitions.count += count
  }

  private func appendNullable(_ from: Column.Values, _ validity: [Bool], _ rows: Picks) {
    picked.removeAll()
    picked.reserve(rows.count)
    if definitions.count == 0 {
      definitions.reserve(levelCount)
      definitions.base.update(repeating: 1, count: levelCount)
      definitions.count = levelCount
    }
    definitions.reserve(rows.count)
    let levels = definitions.end
    let out = picked.base
    var kept = 0
    validity.withUnsafeBufferPointer { valid in
      for i in 0..<rows.count {
        let row = rows.start[i]
        let present = valid[Int(row)] ? 1 : 0
        levels[i] = UInt8(truncatingIfNeeded: present)
        out[kept] = row
        kept += present
      }
    }
    definitions.count += rows.count
    levelCount += rows.count
    pageNulls += rows.count - kept
    if leaf.maxDefinition == 0 && kept < rows.count { levelFailure = "a null in a column that is not nullable" }
    values.append(from, Picks(start: UnsafePointer(out), count: kept))
  }

  /// Takes whole rows of a nested leaf: levels, and the values `from` that they mark as present.
  func append(
    definitions newDefinitions: UnsafeBufferPointer<UInt8>, repetitions newRepetitions: UnsafeBufferPointer<UInt8>,
    _ from: Column.Values, _ present: Picks
  ) {
    if let base = newDefinitions.baseAddress { definitions.append(base, count: newDefinitions.count) }
    if let base = newRepetitions.baseAddress { repetitions.append(base, count: newRepetitions.count) }
    levelCount += newDefinitions.count
    pageNulls += newDefinitions.count - present.count
    values.append(from, present)
  }

  // MARK: pages

  private func closePage() {
    workbench.withCompressor { compressor in
      if leaf.maxRepetition > 0 {
        appendLevels(repetitions.base, count: repetitions.count, largest: leaf.maxRepetition, to: &compressor.raw)
      }
      if leaf.maxDefinition > 0 { appendDefinitions(to: &compressor.raw) }
      var (encoding, statistics) = values.closePage(into: &compressor.raw)
      statistics.nullCount = Int64(pageNulls)
      writePage(.data(statistics), encoding: encoding, values: levelCount, compressor)
    }
    chunkLevels += levelCount
    chunkNulls += pageNulls
    levelCount = 0
    pageNulls = 0
    definitions.removeAll()
    repetitions.removeAll()
  }

  private func appendDefinitions(to out: inout Buffer<UInt8>) {
    // By the values alone: that a column can tell nulls, because other rows of its block have some, must not show.
    if pageNulls > 0 || levelCount == 0 {
      return appendLevels(definitions.base, count: definitions.count, largest: leaf.maxDefinition, to: &out)
    }
    let at = out.count
    out.append(littleEndian: UInt32(0))
    out.appendRun(UInt8(leaf.maxDefinition), count: levelCount, width: bitWidth(UInt64(leaf.maxDefinition)))
    setLength(at: at, in: &out)
  }

  /// Levels of a v1 data page: the hybrid encoding with its length before it.
  private func appendLevels(_ levels: UnsafePointer<UInt8>, count: Int, largest: Int, to out: inout Buffer<UInt8>) {
    let at = out.count
    out.append(littleEndian: UInt32(0))
    out.appendHybrid(levels, count: count, width: bitWidth(UInt64(largest)))
    setLength(at: at, in: &out)
  }

  private func setLength(at: Int, in out: inout Buffer<UInt8>) {
    let length = UInt32(out.count - at - 4).littleEndian
    UnsafeMutableRawPointer(out.base + at).storeBytes(of: length, as: UInt32.self)
  }

  /// Compresses the raw page and puts it after its header.
  private func writePage(_ kind: PageHeader.Kind, encoding: Encoding, values count: Int, _ compressor: Compressor) {
    compressor.compress()
    compressorFailed = compressorFailed || compressor.failed
    let (rawCount, packedCount) = (compressor.raw.count, compressor.packed.count)
    let header = PageHeader(
      kind: kind, encoding: encoding, values: count, uncompressedBytes: rawCount,
      compressedBytes: packedCount,
      checksum: checksums ? pageChecksum(UnsafeBufferPointer(start: compressor.packed.base, count: packedCount)) : nil)
    let bytes = header.encoded()
    pages.append(bytes)
    pages.append(compressor.packed.base, count: packedCount)
    rawBytes += bytes.count + rawCount
    bytesIn += rawCount
    bytesOut += packedCount
    note(kind.page, encoding)
  }

  private func note(_ page: PageKind, _ encoding: Encoding) {
    if let i = encodings.firstIndex(where: { $0.page == page && $0.encoding == encoding }) {
      encodings[i].count += 1
    } else {
      encodings.append((page, encoding, 1))
    }
  }

  // MARK: chunks

  /// Encodes and compresses what is left of the open chunk: all the work there is before ``closeChunk(into:)``, for columns
  /// to do at once.
  func settle() {
    values.settle()
    if levelCount > 0 || chunkLevels == 0 { closePage() }
    dataBytes = pages.count
    workbench.withCompressor { compressor in
      guard let count = values.writeDictionary(into: &compressor.raw) else { return }
      writePage(.dictionary, encoding: .plain, values: count, compressor)
    }
  }

  /// Bytes that ``closeChunk(into:)`` will write.
  var settledBytes: Int { pages.count }

  /// Writes the open chunk, which was settled, to `out` and begins a new one.
  func closeChunk(into out: inout [UInt8]) -> ChunkMetadata {
    let start = out.count
    // The dictionary was compressed last and comes first.
    out.append(contentsOf: UnsafeBufferPointer(start: pages.base + dataBytes, count: pages.count - dataBytes))
    let dataOffset = out.count
    out.append(contentsOf: UnsafeBufferPointer(start: pages.base, count: dataBytes))
    var statistics = values.closeChunk()
    statistics.nullCount = Int64(chunkNulls)
    let metadata = ChunkMetadata(
      leaf: leaf, codec: workbench.options.codec, encodings: encodings, values: chunkLevels,
      uncompressedBytes: rawBytes, compressedBytes: out.count - start, dictionaryOffset: dataOffset > start ? start : nil,
      dataOffset: dataOffset, statistics: statistics)
    beginChunk()
    return metadata
  }

  private func beginChunk() {
    fileNulls += chunkNulls
    pages.release()
    encodings.removeAll()
    chunkLevels = 0
    chunkNulls = 0
    rawBytes = 0
  }

  /// Over all closed chunks.
  var statistics: ColumnStatistics {
    var result = values.fileStatistics()
    result.nullCount = Int64(fileNulls)
    return result
  }
}
